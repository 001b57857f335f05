//! From the checked configuration to what a gate and its engine are made of.

mod keys;
mod tasks;

use keys::key_ring;
pub(crate) use tasks::{Alone, tasks_config, tenant};

use std::sync::Arc;

#[cfg(feature = "bedrock")]
use tidegate_engine::BedrockConfig;
use tidegate_engine::{
    Adaptivity, AnthropicConfig, AttemptConfig, Backoff, BreakerConfig, CacheAnswers, CacheConfig,
    ChainConfig, Chosen, EngineConfig, EntryConfig, GuardConfig, MaxTokensField, OpenAiConfig,
    PackFolder, PackLayer, PolicySource, PromptFolders, ProviderConfig, ProviderKind, Quota,
    RateTrip, ResilienceConfig, Rollout, Scanning, SessionsConfig, StoreConfig, mock,
};

use crate::config::{self, Config, Loaded};
use crate::http::{AccessLog, Draft, Fact, GateSettings, Holds, HostPolicy};
use crate::traces::{Upstream, Upstreams};

/// What a revision of the gate is made of: all of it, at start and at every
/// reload.
pub(crate) fn draft(loaded: &Loaded) -> Draft {
    let config = &loaded.config;
    warn_of_policies(&config.guard);
    Draft {
        engine: engine_config(config),
        settings: gate_settings(config),
        keys: key_ring(config),
        facts: loaded.origins.iter().map(fact).collect(),
        tasks: tasks_config(config),
    }
}

/// Says what of the policies does nothing any more, at start and at reload.
fn warn_of_policies(guard: &config::Guard) {
    let now = Some(std::time::SystemTime::now());
    let all = guard.policies.iter().chain([&guard.policy]);
    for policy in all {
        for suppression in policy.expired(now) {
            let (policy, rule) = (policy.id(), suppression.pattern());
            let reason = &suppression.reason;
            tracing::warn!(
                policy,
                rule,
                reason,
                "policy {policy}: the suppression of {rule} has expired"
            );
        }
    }
}

/// Settings that the process has used up when it serves: the listener, the
/// threads, the log, the store and the workers are there by then.
const AFTER_RESTART: [&str; 10] = [
    "server.bind",
    "server.workers",
    "log.level",
    "log.format",
    "cache.warm",
    "store.url",
    "store.timeout_ms",
    "store.on_unreachable",
    "store.cache_db",
    "store.sessions_db",
];

fn is_used_up(path: &str) -> bool {
    let of_tasks = ["tasks.", "task_kinds[", "schedules[", "webhooks["];
    AFTER_RESTART.contains(&path) || of_tasks.iter().any(|table| path.starts_with(table))
}

fn fact(setting: &config::Setting) -> Fact {
    Fact {
        path: setting.path.clone(),
        fingerprint: setting.fingerprint.number(),
        holds: if is_used_up(&setting.path) {
            Holds::AfterRestart
        } else {
            Holds::AtOnce
        },
    }
}

fn gate_settings(config: &Config) -> GateSettings {
    GateSettings {
        deadline: config.server.deadline,
        max_body_bytes: config.server.max_body_bytes,
        access_log: if config.log.access {
            AccessLog::On
        } else {
            AccessLog::Off
        },
        drain: config.server.drain,
        upstreams: Arc::new(upstreams(config)),
        hosts: HostPolicy::for_bind(config.server.bind, &config.server.hosts),
    }
}

/// What the engine is assembled from.
pub(crate) fn engine_config(config: &Config) -> EngineConfig {
    EngineConfig {
        guard: guard(&config.guard),
        providers: config.providers.iter().map(provider).collect(),
        chains: config
            .models
            .iter()
            .map(|model| chain(model, config))
            .collect(),
        resilience: resilience(config),
        cache: CacheConfig {
            answers: if config.cache.answers {
                CacheAnswers::Always
            } else {
                CacheAnswers::OnRequest
            },
            ttl: config.cache.ttl,
            max_bytes: config.cache.max_bytes,
            refresh_ahead: config.cache.refresh_ahead,
        },
        sessions: SessionsConfig {
            ttl: config.sessions.ttl,
            max_bytes: config.sessions.max_bytes,
            history_tokens: config.sessions.history_tokens,
        },
        prompts: PromptFolders {
            prompts: config.prompts.packs.clone(),
            frameworks: config.prompts.frameworks.clone(),
        },
        // Whoever serves opens one; nobody else leaves anything behind.
        store: None,
    }
}

/// What the store is opened from.
pub(crate) fn store_config(config: &Config) -> StoreConfig {
    let given = &config.store;
    StoreConfig {
        url: given.url.clone(),
        cache_db: given.cache_db,
        sessions_db: given.sessions_db,
        timeout: given.timeout,
        on_unreachable: given.on_unreachable,
        cache_bytes: config.cache.max_bytes,
        refresh_ahead: config.cache.refresh_ahead,
    }
}

fn guard(guard: &config::Guard) -> GuardConfig {
    GuardConfig {
        scanning: if guard.enabled {
            Scanning::On
        } else {
            Scanning::Off
        },
        mode: guard.mode,
        classifier: guard.classifier.clone(),
        second: guard.second.clone(),
        chosen: Chosen {
            policy: guard.policy.clone(),
            source: if guard.is_chosen {
                PolicySource::File
            } else {
                PolicySource::Default
            },
        },
        policies: guard.policies.clone(),
        rollout: (guard.rollout.share > 0.0).then(|| Rollout {
            policy: guard.rollout.policy.clone(),
            share: guard.rollout.share,
            decides: guard.rollout.decides,
            model: guard.rollout.model.clone(),
        }),
        packs: packs(guard),
    }
}

/// Where rules are read beside those of this build.
pub(crate) fn packs(guard: &config::Guard) -> Vec<PackFolder> {
    let folders = [
        (PackLayer::Team, &guard.team_packs),
        (PackLayer::Custom, &guard.custom_packs),
    ];
    let folder = |(layer, path): (PackLayer, &Option<std::path::PathBuf>)| {
        path.clone().map(|path| PackFolder { layer, path })
    };
    folders.into_iter().filter_map(folder).collect()
}

/// What traces say of the providers.
fn upstreams(config: &Config) -> Upstreams {
    let upstream = |provider: &config::Provider| {
        let upstream = match &provider.kind {
            config::ProviderKind::OpenAi(openai) => Upstream::at(&openai.base_url),
            config::ProviderKind::Anthropic(anthropic) => Upstream::at(&anthropic.base_url),
            config::ProviderKind::Bedrock(_) => Upstream::of_kind("aws.bedrock"),
            config::ProviderKind::Extractive => Upstream::of_kind("tidegate"),
            config::ProviderKind::Mock => Upstream::default(),
        };
        (provider.name.clone(), upstream)
    };
    config.providers.iter().map(upstream).collect()
}

fn provider(provider: &config::Provider) -> ProviderConfig {
    let kind = match &provider.kind {
        config::ProviderKind::OpenAi(openai) => ProviderKind::OpenAi(openai_config(openai)),
        config::ProviderKind::Anthropic(given) => ProviderKind::Anthropic(anthropic(given)),
        #[cfg(feature = "bedrock")]
        config::ProviderKind::Bedrock(given) => ProviderKind::Bedrock(bedrock(given)),
        #[cfg(not(feature = "bedrock"))]
        config::ProviderKind::Bedrock(_) => unreachable!("the configuration refuses this kind"),
        config::ProviderKind::Extractive => ProviderKind::Extractive,
        config::ProviderKind::Mock => ProviderKind::Mock(mock::Script::default()),
    };
    ProviderConfig {
        name: provider.name.clone(),
        kind,
    }
}

fn openai_config(openai: &config::OpenAi) -> OpenAiConfig {
    let headers = openai.headers.iter();
    let base_url = openai.base_url.parse();
    let base_url = base_url.expect("the configuration checks URLs");
    OpenAiConfig {
        max_tokens_field: match openai.max_tokens_field {
            config::MaxTokensField::Auto => MaxTokensField::of(&base_url),
            config::MaxTokensField::MaxTokens => MaxTokensField::MaxTokens,
            config::MaxTokensField::MaxCompletionTokens => MaxTokensField::MaxCompletionTokens,
        },
        base_url,
        api_key: openai.api_key.as_ref().map(|key| key.expose().to_owned()),
        headers: headers
            .map(|header| (header.name.clone(), header.value.expose().to_owned()))
            .collect(),
        stream_usage: openai.stream_usage,
    }
}

fn anthropic(given: &config::Anthropic) -> AnthropicConfig {
    let headers = given.headers.iter();
    AnthropicConfig {
        base_url: given
            .base_url
            .parse()
            .expect("the configuration checks URLs"),
        api_key: given.api_key.as_ref().map(|key| key.expose().to_owned()),
        headers: headers
            .map(|header| (header.name.clone(), header.value.expose().to_owned()))
            .collect(),
        default_max_tokens: given.default_max_tokens,
    }
}

#[cfg(feature = "bedrock")]
fn bedrock(given: &config::Bedrock) -> BedrockConfig {
    BedrockConfig {
        region: given.region.clone(),
        endpoint_url: given.endpoint_url.clone(),
        profile: given.profile.clone(),
        role_arn: given.role_arn.clone(),
        default_max_tokens: None,
    }
}

fn chain(model: &config::Model, config: &Config) -> ChainConfig {
    let entries = model.chain.iter().map(|entry| EntryConfig {
        provider: entry.provider.clone(),
        model: entry.model.clone().unwrap_or_else(|| "*".to_owned()),
        quota: Quota {
            requests: per_window(entry.limits.requests_per_minute, config),
            tokens: per_window(entry.limits.tokens_per_minute, config),
            concurrent: entry.limits.max_concurrent,
            window: config.resilience.window,
        },
        default_output_tokens: model.default_output_tokens,
    });
    ChainConfig {
        name: model.name.clone(),
        entries: entries.collect(),
    }
}

/// Limits are given per minute and hold in every window of the configured
/// length: a window of 10 s holds a sixth of them, and never less than one.
fn per_window(per_minute: Option<u64>, config: &Config) -> Option<u64> {
    let window_ms = config.resilience.window.as_millis();
    per_minute.map(|limit| {
        let scaled = u128::from(limit) * window_ms / 60_000;
        u64::try_from(scaled).unwrap_or(u64::MAX).max(1)
    })
}

fn resilience(config: &Config) -> ResilienceConfig {
    let given = &config.resilience;
    ResilienceConfig {
        breaker: breaker(&given.breaker, given.window),
        backoff: Backoff {
            base: given.backoff.base,
            max: given.backoff.max,
            retries: given.backoff.retries,
        },
        retry_budget: given.retry_budget,
        adaptive: if given.adaptive {
            Adaptivity::Adaptive
        } else {
            Adaptivity::Fixed
        },
        attempt: AttemptConfig {
            // An attempt never has longer than its request.
            first_content: given.attempt.min(config.server.deadline),
            stream_idle: config.server.stream_idle,
            switch_delay: given.switch_delay,
        },
        max_waiting: given.max_waiting,
    }
}

fn breaker(given: &config::Breaker, window: std::time::Duration) -> BreakerConfig {
    let rated = given.failure_rate.is_some() || given.slow_call.is_some();
    BreakerConfig {
        failure_threshold: given.failure_threshold,
        success_threshold: given.success_threshold,
        cooldown: given.cooldown,
        max_cooldown: given.max_cooldown,
        probes: 1,
        rate: rated.then(|| RateTrip {
            window,
            minimum_calls: given.minimum_calls,
            // A share above 1 is never reached: only slow calls count.
            failure_rate: given.failure_rate.unwrap_or(f64::INFINITY),
            slow_call: given.slow_call,
            slow_call_rate: given.slow_call_rate,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_a_setting() {
        for path in AFTER_RESTART {
            assert!(config::KEYS.iter().any(|key| key.path == path), "{path}");
        }
    }
}
