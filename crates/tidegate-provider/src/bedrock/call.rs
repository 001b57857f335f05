//! One call through the SDK, with our own body and the answer's own bytes.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_bedrockruntime::config::http::HttpRequest;
use aws_sdk_bedrockruntime::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextMut,
};
use aws_sdk_bedrockruntime::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_bedrockruntime::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::Limited;

/// Largest answer that we accept.
pub(super) const MOST_ANSWER_BYTES: usize = 32 << 20;

/// Puts `body` in the place of the one that the SDK wrote, before it signs.
pub(super) fn replace_body(body: Bytes) -> impl Fn(&mut HttpRequest) + Send + Sync + 'static {
    move |request| {
        let length = body.len().to_string();
        request.headers_mut().insert("content-length", length);
        *request.body_mut() = SdkBody::from(body.clone());
    }
}

/// What a whole answer said, before the SDK made it into its own types.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) body: Bytes,
    /// Where Bedrock counts the input outside of the body.
    pub(super) input_tokens: Option<u64>,
}

/// Listens to one call.
#[derive(Debug, Clone, Default)]
pub(super) struct Listener(Arc<Mutex<Heard>>);

impl Listener {
    /// What was heard, once.
    pub(super) fn heard(&self) -> Heard {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *heard)
    }
}

impl Intercept for Listener {
    fn name(&self) -> &'static str {
        "Listener"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let whole = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(whole, MOST_ANSWER_BYTES));
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let tokens = response.headers().get("x-amzn-bedrock-input-token-count");
        let heard = Heard {
            body: Bytes::copy_from_slice(response.body().bytes().unwrap_or_default()),
            input_tokens: tokens.and_then(|count| count.parse().ok()),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = heard;
        Ok(())
    }
}
