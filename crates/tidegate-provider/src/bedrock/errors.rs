//! What AWS says when it does not answer, in the words of [`ProviderError`].

use std::error::Error;
use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, HeaderName, HeaderValue};
use aws_sdk_bedrockruntime::config::http::HttpResponse;
use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_types::event_stream::{Message, RawMessage};
use hyper_util::client::legacy;

use super::call::MOST_ANSWER_BYTES;
use crate::error::{ErrorBody, ProviderError, Unavailability};
use crate::retry_after::retry_after;

/// Why a call failed.
pub(super) fn of_call<E>(error: &SdkError<E, HttpResponse>) -> ProviderError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        // The SDK takes what it cannot read for a failure of the service.
        SdkError::ServiceError(answer) if answer.raw().status().is_success() => {
            Unavailability::Garbage.into()
        }
        SdkError::ServiceError(refusal) => {
            let (said, raw) = (refusal.err(), refusal.raw());
            classify(Said {
                code: said.code().unwrap_or_default(),
                message: said.message().unwrap_or_default(),
                status: raw.status().as_u16(),
                retry_after: wait(raw),
            })
        }
        SdkError::TimeoutError(_) => Unavailability::TimedOut.into(),
        SdkError::DispatchFailure(failure) => match of_connection(error) {
            Some(lost) => lost,
            // The SDK looks for credentials on the way, and says so here.
            None if failure.is_other() => no_credentials(),
            // The only time-out that we set is that of connecting.
            None => Unavailability::Connect.into(),
        },
        SdkError::ResponseError(_) => of_body(error).into(),
        // The call was never sent: no credentials, or no place to send it to.
        _ => no_credentials(),
    }
}

/// Why a stream broke that had begun.
pub(super) fn of_stream<E>(error: &SdkError<E, RawMessage>) -> ProviderError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(refusal) => classify(Said {
            code: &exception(refusal.raw())
                .or_else(|| refusal.err().code().map(str::to_owned))
                .unwrap_or_default(),
            message: refusal.err().message().unwrap_or_default(),
            status: 200,
            retry_after: None,
        }),
        SdkError::TimeoutError(_) => Unavailability::TimedOut.into(),
        SdkError::DispatchFailure(_) => Unavailability::Reset.into(),
        SdkError::ResponseError(broken) => match broken.raw() {
            RawMessage::Decoded(message) => of_frame(message),
            // What was left when the connection ended is less than a frame.
            RawMessage::Invalid(Some(_)) => Unavailability::Truncated.into(),
            _ => Unavailability::Garbage.into(),
        },
        _ => Unavailability::Garbage.into(),
    }
}

/// What is answered where AWS would not even be asked.
pub(super) fn no_credentials() -> ProviderError {
    not_served(
        401,
        "no usable AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role",
        "CredentialsNotLoaded",
    )
}

/// The same for a missing region.
pub(super) fn no_region() -> ProviderError {
    not_served(
        401,
        "no AWS region found: set region or AWS_REGION",
        "MissingRegion",
    )
}

fn not_served(status: u16, message: &str, code: &str) -> ProviderError {
    ProviderError::NotServed(ErrorBody {
        status,
        message: message.to_owned(),
        kind: Some("authentication_error".to_owned()),
        code: Some(code.to_owned()),
        param: None,
    })
}

/// An exception: its name, its words, and the status that it came with, 200
/// inside a stream.
struct Said<'a> {
    code: &'a str,
    message: &'a str,
    status: u16,
    retry_after: Option<Duration>,
}

fn classify(said: Said<'_>) -> ProviderError {
    let retry_after = said.retry_after;
    let body = |status: u16| ErrorBody {
        status,
        // Of an error without a name nothing is known, not even whose text it is.
        message: if said.code.is_empty() {
            String::new()
        } else {
            said.message.to_owned()
        },
        kind: Some(said.code.to_owned()).filter(|code| !code.is_empty()),
        code: None,
        param: None,
    };
    match said.code {
        "ThrottlingException"
        | "ServiceQuotaExceededException"
        | "TooManyRequestsException"
        | "ModelNotReadyException"
        | "ServiceUnavailableException" => ProviderError::Throttled { retry_after },
        "ModelTimeoutException" => Unavailability::Status(408).into(),
        "ModelErrorException" => Unavailability::Status(424).into(),
        "InternalServerException" | "InternalFailure" if said.status != 200 => {
            Unavailability::Status(500).into()
        }
        "InternalServerException" | "InternalFailure" | "ModelStreamErrorException" => {
            Unavailability::ErrorInAnswer.into()
        }
        "ValidationException" if names_the_model(said.message) => {
            ProviderError::NotServed(body(404))
        }
        "ValidationException" => ProviderError::Rejected(body(400)),
        "ResourceNotFoundException" => ProviderError::NotServed(body(404)),
        code if DENIALS.contains(&code) => ProviderError::NotServed(body(401)),
        // Only a stranger says 403 without a name for it.
        _ if said.status == 403 => ProviderError::NotServed(body(401)),
        _ => body(said.status).classify(retry_after),
    }
}

/// The names by which AWS refuses a key, a signature or a permission.
const DENIALS: [&str; 10] = [
    "AccessDeniedException",
    "AccessDenied",
    "UnrecognizedClientException",
    "ExpiredTokenException",
    "ExpiredToken",
    "InvalidSignatureException",
    "IncompleteSignatureException",
    "MissingAuthenticationTokenException",
    "InvalidClientTokenId",
    "OptInRequired",
];

/// Bedrock has one exception for a request that is wrong and for a model that
/// is not there or cannot do what is asked. Only its words tell them apart, and
/// only the latter leaves something for another model to try.
fn names_the_model(message: &str) -> bool {
    const WORDS: [&str; 4] = [
        "provided model identifier is invalid",
        "on-demand throughput isn",
        "model doesn't support",
        "model is not supported",
    ];
    WORDS.iter().any(|words| message.contains(words))
}

fn wait(response: &HttpResponse) -> Option<Duration> {
    let mut headers = HeaderMap::new();
    for name in ["retry-after-ms", "retry-after"] {
        let value = response.headers().get(name);
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    retry_after(&headers, SystemTime::now())
}

/// What happened to the connection, if that is what it was.
fn of_connection(error: Cause<'_>) -> Option<ProviderError> {
    let mut causes = causes(error);
    let lost = causes.find_map(|cause| cause.downcast_ref::<legacy::Error>())?;
    let reason = if lost.is_connect() {
        Unavailability::Connect
    } else {
        Unavailability::Reset
    };
    Some(reason.into())
}

/// What made the body of an answer unreadable.
fn of_body(error: Cause<'_>) -> Unavailability {
    for cause in causes(error) {
        if cause.is::<http_body_util::LengthLimitError>() {
            return Unavailability::TooLarge {
                limit_bytes: MOST_ANSWER_BYTES,
            };
        }
        if cause.is::<hyper::Error>() {
            return Unavailability::Reset;
        }
    }
    Unavailability::Garbage
}

type Cause<'a> = &'a (dyn Error + 'static);

fn causes(error: Cause<'_>) -> impl Iterator<Item = Cause<'_>> {
    std::iter::successors(Some(error), |error: &Cause<'_>| (*error).source())
}

/// The name of an exception inside a stream, as AWS writes it elsewhere.
fn exception(raw: &RawMessage) -> Option<String> {
    let RawMessage::Decoded(message) = raw else {
        return None;
    };
    let name = header(message, ":exception-type")?;
    let first = name.chars().next()?.to_ascii_uppercase();
    Some(format!("{first}{}", &name[first.len_utf8()..]))
}

fn of_frame(message: &Message) -> ProviderError {
    // A frame for failures that are not in the service's description.
    if header(message, ":message-type") != Some("error") {
        return Unavailability::Garbage.into();
    }
    classify(Said {
        code: header(message, ":error-code").unwrap_or_default(),
        message: header(message, ":error-message").unwrap_or_default(),
        status: 200,
        retry_after: None,
    })
}

fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let mut headers = message.headers().iter();
    let found = headers.find(|header| header.name().as_str() == name)?;
    found.value().as_string().ok().map(|value| value.as_str())
}
