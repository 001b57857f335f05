use super::*;

/// Passes as it is, and fails when any one digit or letter becomes the next.
#[track_caller]
fn check(check: Check, text: &str) {
    assert!(check.passes(text), "{check} {text}");
    let mut missed = 0;
    for (place, sign) in text.char_indices() {
        let next = match sign {
            '0'..='8' => char::from(sign as u8 + 1),
            '9' => '0',
            _ => continue,
        };
        let changed = format!("{}{next}{}", &text[..place], &text[place + 1..]);
        missed += usize::from(check.passes(&changed));
    }
    assert_eq!(missed, 0, "{check} {text}: wrong digits that pass");
}

#[test]
fn one_wrong_digit_fails_wherever_the_scheme_promises_that() {
    check(Check::Luhn, "4111 1111 1111 1111");
    check(Check::Luhn, "3782-822463-10005");
    check(Check::Luhn, "490154203237518");
    check(Check::Iban, "GB82 WEST 1234 5698 7654 32");
    check(Check::Iban, "de89370400440532013000");
    check(Check::UsRouting, "021000021");
    check(Check::Isin, "US0378331005");
    check(Check::Lei, "5493001KJTIIGC8Y1R12");
    check(Check::AuAbn, "51 824 753 556");
    check(Check::BrCnpj, "11.222.333/0001-81");
    check(Check::AuTfn, "123 456 782");
    check(Check::BrCpf, "529.982.247-25");
    check(Check::ChAhv, "756.9217.0769.85");
    check(Check::ClRut, "12.345.678-5");
    check(Check::CnResident, "11010519491231002X");
    check(Check::DeTaxId, "86 095 742 719");
    check(Check::EsDni, "12345678Z");
    check(Check::EsDni, "X1234567L");
    check(Check::FiHetu, "131052-308T");
    check(Check::FrNir, "1 85 05 78 006 084 91");
    check(Check::UkNhs, "943 476 5919");
    check(Check::HrOib, "69435151530");
    check(Check::InAadhaar, "2345 6789 0124");
    check(Check::NlBsn, "111222333");
    check(Check::NoFnr, "01019010046");
    check(Check::PlPesel, "44051401359");
    check(Check::SePersonnummer, "811218-9876");
    check(Check::SgNric, "S1234567D");
    check(Check::TrTckn, "10000000146");
    check(Check::UsNpi, "1234567893");
    check(Check::BeNational, "85.07.30-033.28");
}

#[test]
fn schemes_that_let_some_changes_pass_find_the_right_number_and_not_its_neighbor() {
    let pairs = [
        (Check::PtNif, "123456789", "123456788"),
        (Check::RoCnp, "1850223123451", "1850223123452"),
        (Check::KrResident, "820701-2123451", "820701-2123452"),
        (
            Check::ItCodiceFiscale,
            "RSSMRA85T10A562S",
            "RSSMRA85T10A562T",
        ),
        (Check::Vin, "1M8GDM9AXKP042788", "1M8GDM9A1KP042788"),
        (
            Check::Base58,
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
        ),
    ];
    for (check, right, wrong) in pairs {
        assert!(check.passes(right), "{check} {right}");
        assert!(!check.passes(wrong), "{check} {wrong}");
    }
}

#[test]
fn a_number_of_another_length_or_of_one_digit_fails() {
    for check in Check::ALL.iter().filter(|check| **check != Check::None) {
        for text in [
            "",
            "1",
            "0000000000",
            "00000000000",
            "000000000",
            "12345678901234567890123",
        ] {
            assert!(!check.passes(text), "{check} {text}");
        }
    }
}

#[test]
fn a_date_that_does_not_exist_is_no_birthday() {
    assert!(!Check::PlPesel.passes("44131401350"));
    assert!(!Check::CnResident.passes("110105194913310021"));
    assert!(!Check::SePersonnummer.passes("811398-9878"));
}

#[test]
fn a_token_with_a_wrong_checksum_is_none() {
    // Neither was ever given out: both were drawn, and their checksums computed.
    let body = "Ky9Pf34qY6Nb3wWD25RQ4F5ZR3qa7y";
    assert!(Check::TokenCrc32.passes(&format!("ghp_{body}3gm1IL")));
    assert!(!Check::TokenCrc32.passes(&format!("ghp_{body}3gm1IM")));
    assert!(!Check::TokenCrc32.passes("ghp_abcdefghij0123456789ABCDEFGHIJ012345"));
    assert!(!Check::TokenCrc32.passes("ghp_ümlaut"));
}

#[test]
fn a_web_token_has_a_head_that_names_its_algorithm() {
    assert!(Check::Jwt.passes("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0"));
    assert!(!Check::Jwt.passes("eyJ0aWRlIjoibG93In0.eyJzdWIiOiIxMjM0NTY3ODkwIn0"));
    assert!(!Check::Jwt.passes("eyJ!.eyJ"));
}

#[test]
fn a_placeholder_is_not_drawn_by_chance() {
    assert!(Check::Random.passes("api_key = \"h4kq92xT0vbP71mZ\""));
    assert!(Check::Random.passes("k8Fj2LqZ"));
    for placeholder in [
        "your-api-key-here",
        "xxxxxxxxxxxxxxxx",
        "password",
        "1234567890123456",
        "secret11",
    ] {
        assert!(!Check::Random.passes(placeholder), "{placeholder}");
    }
}

proptest::proptest! {
    /// Patterns let odd texts through: no check may fall over one.
    #[test]
    fn no_check_falls_over_any_text(text in "\\PC{0,40}|[0-9]{0,24}|[A-Za-z0-9 .-]{0,24}") {
        for check in Check::ALL {
            check.passes(&text);
        }
    }
}
