//! What AWS says when it does not answer.

use std::time::Duration;

use aws_smithy_types::body::SdkBody;

use super::{answered, hello, response};
use crate::bedrock::{Bedrock, BedrockConfig, BedrockConfigError};
use crate::dialect::Dialect;
use crate::error::{ErrorBody, ProviderError, Unavailability};
use crate::provider::Provider;

fn exception(status: u16, kind: &str, message: &str) -> ::http::Response<SdkBody> {
    let mut response = response(status, format!(r#"{{"message":"{message}"}}"#));
    let kind = format!("{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/");
    let headers = response.headers_mut();
    headers.insert("x-amzn-errortype", kind.parse().unwrap());
    response
}

async fn failed(response: ::http::Response<SdkBody>) -> ProviderError {
    answered(Dialect::Chat, response).await.unwrap_err()
}

#[tokio::test]
async fn what_has_no_room_is_throttled_and_says_for_how_long() {
    for (status, kind) in [
        (429, "ThrottlingException"),
        (400, "ServiceQuotaExceededException"),
        (429, "ModelNotReadyException"),
        (503, "ServiceUnavailableException"),
        (429, "SomethingNewException"),
    ] {
        let mut response = exception(status, kind, "slow down");
        let plain = failed(exception(status, kind, "slow down")).await;
        assert_eq!(
            plain,
            ProviderError::Throttled { retry_after: None },
            "{kind}"
        );
        response
            .headers_mut()
            .insert("retry-after", "7".parse().unwrap());
        let retry_after = Some(Duration::from_secs(7));
        assert_eq!(
            failed(response).await,
            ProviderError::Throttled { retry_after }
        );
    }
}

#[tokio::test]
async fn what_broke_is_worth_another_try() {
    for (status, kind, expected) in [
        (408, "ModelTimeoutException", 408),
        (424, "ModelErrorException", 424),
        (500, "InternalServerException", 500),
        (502, "SomethingNewException", 502),
    ] {
        let error = failed(exception(status, kind, "x")).await;
        assert_eq!(error, Unavailability::Status(expected).into(), "{kind}");
    }
    let page = failed(response(502, "<html>secret</html>")).await;
    assert_eq!(page, Unavailability::Status(502).into());
}

#[tokio::test]
async fn a_request_that_is_wrong_is_final_and_keeps_its_words() {
    let error = failed(exception(
        400,
        "ValidationException",
        "maxTokens is too large",
    ))
    .await;
    let expected = ErrorBody {
        status: 400,
        message: "maxTokens is too large".to_owned(),
        kind: Some("ValidationException".to_owned()),
        code: None,
        param: None,
    };
    assert_eq!(error, ProviderError::Rejected(expected));
}

#[tokio::test]
async fn a_model_that_is_not_there_and_a_key_that_is_not_taken_leave_the_next_one_a_chance() {
    for (status, kind, message, expected) in [
        (404, "ResourceNotFoundException", "no such model", 404),
        (
            400,
            "ValidationException",
            "The provided model identifier is invalid.",
            404,
        ),
        (
            400,
            "ValidationException",
            "This model doesn't support tool use.",
            404,
        ),
        (403, "AccessDeniedException", "no access to the model", 401),
        (
            403,
            "UnrecognizedClientException",
            "The security token is invalid.",
            401,
        ),
        (403, "ExpiredTokenException", "expired", 401),
        (403, "InvalidSignatureException", "Signature expired", 401),
        (403, "SomethingNewException", "no", 401),
    ] {
        match failed(exception(status, kind, message)).await {
            ProviderError::NotServed(body) => {
                assert_eq!((body.status, body.message.as_str()), (expected, message));
            }
            other => panic!("{kind}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_text_of_a_page_goes_nowhere() {
    for status in [400, 403, 404, 418, 500] {
        let error = failed(response(status, "<html>secret</html>")).await;
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn a_place_where_nobody_listens_is_no_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let bedrock = with_endpoint(port);
    let error = bedrock
        .complete("m", &hello(Dialect::Chat))
        .await
        .unwrap_err();
    assert_eq!(error, Unavailability::Connect.into());
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_lost() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bedrock = with_endpoint(listener.local_addr().unwrap().port());
    let request = hello(Dialect::Chat);
    let (answer, ()) = tokio::join!(bedrock.complete("m", &request), async {
        drop(listener.accept().await.unwrap());
    });
    assert_eq!(answer.unwrap_err(), Unavailability::Reset.into());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_lost_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bedrock = with_endpoint(listener.local_addr().unwrap().port());
    let request = hello(Dialect::Chat);
    let (answer, ()) = tokio::join!(bedrock.complete("m", &request), async {
        let (mut client, _) = listener.accept().await.unwrap();
        let _ = client.read(&mut [0; 4096]).await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"output\":";
        client.write_all(head).await.unwrap();
    });
    assert_eq!(answer.unwrap_err(), Unavailability::Reset.into());
}

/// A provider that has a key and calls this machine.
fn with_endpoint(port: u16) -> Bedrock {
    let (mut bedrock, _) = super::provider(vec![]);
    let config = BedrockConfig {
        endpoint_url: Some(format!("http://127.0.0.1:{port}")),
        ..BedrockConfig::default()
    };
    let reached = bedrock.reached.take().unwrap();
    let found = reached.found.into_builder();
    let found = found
        .http_client(crate::bedrock::config::http_client())
        .build();
    let client = crate::bedrock::config::client(&config, &found);
    let reached = crate::bedrock::Reached { client, found };
    Bedrock {
        config,
        reached: tokio::sync::OnceCell::new_with(Some(reached)),
    }
}

#[tokio::test]
async fn no_credentials_is_said_with_what_to_set() {
    let mut bedrock = with_endpoint(1);
    let reached = bedrock.reached.take().unwrap();
    let mut found = reached.found.into_builder();
    found.set_credentials_provider(None);
    let found = found.build();
    let client = crate::bedrock::config::client(&bedrock.config, &found);
    let reached = crate::bedrock::Reached { client, found };
    bedrock.reached = tokio::sync::OnceCell::new_with(Some(reached));
    for error in [
        bedrock
            .complete("m", &hello(Dialect::Chat))
            .await
            .unwrap_err(),
        bedrock.reach().await.unwrap_err(),
    ] {
        let ProviderError::NotServed(body) = error else {
            panic!("{error:?}")
        };
        assert_eq!(body.status, 401);
        assert!(
            body.message.contains("AWS_ACCESS_KEY_ID"),
            "{}",
            body.message
        );
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_named() {
    let check = |config: BedrockConfig| Bedrock::new(&config).map(drop);
    let config = BedrockConfig::default;
    assert_eq!(check(config()), Ok(()));
    let some = |text: &str| Some(text.to_owned());
    for url in ["", "localhost", "ftp://a.example", "/path"] {
        let endpoint_url = some(url);
        let error = check(BedrockConfig {
            endpoint_url,
            ..config()
        });
        assert_eq!(error, Err(BedrockConfigError::EndpointUrl), "{url}");
    }
    let region = some("eu west");
    assert_eq!(
        check(BedrockConfig { region, ..config() }),
        Err(BedrockConfigError::Region)
    );
    let role_arn = some("admin");
    assert_eq!(
        check(BedrockConfig {
            role_arn,
            ..config()
        }),
        Err(BedrockConfigError::RoleArn)
    );
    for tokens in [0, 1 << 31] {
        let default_max_tokens = Some(tokens);
        let error = check(BedrockConfig {
            default_max_tokens,
            ..config()
        });
        assert_eq!(error, Err(BedrockConfigError::DefaultMaxTokens));
    }
}
