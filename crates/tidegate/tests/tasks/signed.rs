//! Signatures of webhooks, computed by hand from the Standard Webhooks
//! specification and RFC 2104, with nothing of the gate's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::gateway::Seen;

/// HMAC-SHA256 of RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Sha256::new()
        .chain_update(padded(0x36))
        .chain_update(message);
    let outer = Sha256::new()
        .chain_update(padded(0x5c))
        .chain_update(inner.finalize());
    outer.finalize().to_vec()
}

/// Whether a message is signed with this secret.
pub(crate) fn is_signed(seen: &Seen, secret: &[u8]) -> bool {
    let header = |name: &str| seen.header(name).unwrap_or_default();
    let signed = format!(
        "{}.{}.{}",
        header("webhook-id"),
        header("webhook-timestamp"),
        seen.text
    );
    let expected = format!("v1,{}", STANDARD.encode(hmac(secret, signed.as_bytes())));
    header("webhook-signature") == expected
}

#[test]
fn the_signature_is_that_of_rfc_4231() {
    let mac = hmac(b"Jefe", b"what do ya want for nothing?");
    let hex: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, RFC_4231);
}

/// Test case 2 of RFC 4231.
const RFC_4231: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
