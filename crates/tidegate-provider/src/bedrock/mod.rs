//! AWS Bedrock: Converse for chat, InvokeModel for embeddings.
//!
//! The SDK finds the credentials, signs, and takes the frames of streams apart.
//! It neither retries nor gives up on a silent stream: that is the engine's.

mod answer;
mod call;
mod config;
mod embeddings;
mod errors;
mod events;
mod request;
mod stream;
mod tongue;
mod wire;

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::ProvideCredentials;
use aws_sdk_bedrockruntime::operation::RequestId;
use aws_sdk_bedrockruntime::primitives::Blob;
use bytes::Bytes;
use futures_util::stream::iter;
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::OnceCell;

use self::call::{Heard, Listener, replace_body};
pub use self::config::{BedrockConfig, BedrockConfigError};
use self::embeddings::Plan;
use self::events::Steps;
use self::request::Ask;
use self::tongue::Tongue;
use crate::dialect::Conversation;
#[cfg(test)]
use crate::dialect::Refusal;
use crate::embed_request::EmbedRequest;
use crate::error::{ProviderError, Unavailability};
use crate::http::HttpClient;
use crate::provider::{ChunkStream, Completion, Provider};
use crate::request::ChatRequest;

/// Models on AWS Bedrock.
#[derive(Debug)]
pub struct Bedrock {
    config: BedrockConfig,
    reached: OnceCell<Reached>,
}

/// What is known once the credentials' chain was walked.
#[derive(Debug)]
struct Reached {
    client: Client,
    found: SdkConfig,
}

/// Embedding models that take one text per call get this many calls at once.
const MOST_CALLS: usize = 4;

impl Bedrock {
    /// Checks the configuration; reads no file and connects to nothing yet.
    /// Region and credentials are looked for when the first call is made.
    ///
    /// # Errors
    /// [`BedrockConfigError`] names what is wrong.
    pub fn new(config: &BedrockConfig) -> Result<Self, BedrockConfigError> {
        config.check()?;
        Ok(Self {
            config: config.clone(),
            reached: OnceCell::new(),
        })
    }

    async fn reached(&self) -> Result<&Reached, ProviderError> {
        let load = || async {
            let found = config::load(&self.config).await;
            if found.region().is_none() {
                return Err(errors::no_region());
            }
            let client = config::client(&self.config, &found);
            Ok(Reached { client, found })
        };
        self.reached.get_or_try_init(load).await
    }

    fn body(&self, model: &str, request: &ChatRequest) -> Result<(Tongue, Bytes), ProviderError> {
        let (tongue, conversation) = tongue::conversation(request)?;
        Ok((tongue, self.said(model, request, &conversation)?))
    }

    fn said(
        &self,
        model: &str,
        request: &ChatRequest,
        conversation: &Conversation,
    ) -> Result<Bytes, ProviderError> {
        let ask = Ask {
            dialect: request.dialect(),
            model,
            default_max_tokens: self.config.default_max_tokens,
        };
        Ok(request::write(conversation, &ask)?)
    }

    async fn invoke(&self, model: &str, body: Bytes) -> Result<Heard, ProviderError> {
        let listener = Listener::default();
        let call = self.reached().await?.client.invoke_model();
        call.model_id(model)
            .content_type("application/json")
            .accept("application/json")
            .body(Blob::new(body))
            .customize()
            .interceptor(listener.clone())
            .send()
            .await
            .map_err(|error| errors::of_call(&error))?;
        Ok(listener.heard())
    }

    /// Where calls go.
    fn place(&self, found: &SdkConfig) -> Option<::http::Uri> {
        if let Some(url) = &self.config.endpoint_url {
            return url.parse().ok();
        }
        let region = found.region()?.as_ref();
        let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
        let url = format!("https://bedrock-runtime.{region}.amazonaws.com{suffix}/");
        url.parse().ok()
    }
}

/// What a request becomes for `model`, for tests of the conversion alone.
#[cfg(test)]
pub(crate) fn body(model: &str, request: &ChatRequest) -> Result<Bytes, Refusal> {
    let conversation = Tongue::of(request)?.read(request)?;
    let ask = Ask {
        dialect: request.dialect(),
        model,
        default_max_tokens: None,
    };
    request::write(&conversation, &ask)
}

#[async_trait]
impl Provider for Bedrock {
    async fn complete(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<Completion, ProviderError> {
        let (tongue, body) = self.body(model, request)?;
        let listener = Listener::default();
        let call = self.reached().await?.client.converse().model_id(model);
        let answer = call
            .customize()
            .mutate_request(replace_body(body))
            .interceptor(listener.clone())
            .send()
            .await
            .map_err(|error| errors::of_call(&error))?;
        let id = answer.request_id().unwrap_or_default().to_owned();
        let reply = answer::read(&listener.heard().body, id, model)?;
        Ok(tongue.write(&reply))
    }

    async fn stream(
        &self,
        model: &str,
        request: &ChatRequest,
    ) -> Result<ChunkStream, ProviderError> {
        let (tongue, body) = self.body(model, request)?;
        let client = &self.reached().await?.client;
        let answer = client
            .converse_stream()
            .model_id(model)
            .customize()
            .mutate_request(replace_body(body))
            .send()
            .await
            .map_err(|error| errors::of_call(&error))?;
        let id = answer.request_id().unwrap_or_default().to_owned();
        let steps = Steps::new(id, model);
        Ok(stream::chunks(answer.stream, steps, tongue.writer()))
    }

    async fn embed(
        &self,
        model: &str,
        request: &EmbedRequest,
    ) -> Result<Completion, ProviderError> {
        let plan = Plan::of(model, request)?;
        let bodies = plan.bodies.clone().into_iter();
        let calls = bodies.map(|body| self.invoke(model, body));
        let heard = iter(calls).buffered(MOST_CALLS).try_collect::<Vec<_>>();
        let heard = heard.await?;
        plan.answer(model, &heard)
    }

    /// Looks for region and credentials, and whether anybody answers there.
    async fn reach(&self) -> Result<(), ProviderError> {
        let found = &self.reached().await?.found;
        let credentials = found.credentials_provider();
        let credentials = credentials.ok_or_else(errors::no_credentials)?;
        let found_any = credentials.provide_credentials().await;
        found_any.map_err(|_| errors::no_credentials())?;
        let place = self.place(found).ok_or(Unavailability::Connect)?;
        HttpClient::new(&place).touch(place).await
    }
}
