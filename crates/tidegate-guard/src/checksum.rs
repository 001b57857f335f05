//! Numbers that carry their own proof. docs/rules.md names who published each
//! formula.

mod business;
mod personal;
mod token;

use crate::word::words;

words! {
    /// What a match must pass besides its pattern. Signs that are no part of the
    /// number, such as spaces and hyphens, do not matter.
    #[derive(Default)]
    pub enum Check {
        /// Nothing.
        #[default]
        None = "none",
        /// The check digit of payment cards, device numbers and others.
        Luhn = "luhn",
        /// The check digits of international bank account numbers.
        Iban = "iban",
        /// A routing number of a bank in the United States.
        UsRouting = "us_routing",
        /// An international securities identification number.
        Isin = "isin",
        /// A legal entity identifier.
        Lei = "lei",
        /// A vehicle identification number of North America.
        Vin = "vin",
        /// A business number of Australia.
        AuAbn = "au_abn",
        /// A company number of Brazil.
        BrCnpj = "br_cnpj",
        /// An address of Bitcoin in its older form.
        Base58 = "base58",
        /// A tax file number of Australia.
        AuTfn = "au_tfn",
        /// A national register number of Belgium.
        BeNational = "be_national",
        /// A taxpayer number of Brazil.
        BrCpf = "br_cpf",
        /// A social security number of Switzerland.
        ChAhv = "ch_ahv",
        /// A RUT of Chile.
        ClRut = "cl_rut",
        /// A resident identity number of China.
        CnResident = "cn_resident",
        /// A tax identification number of Germany.
        DeTaxId = "de_tax_id",
        /// A DNI or NIE of Spain.
        EsDni = "es_dni",
        /// A personal identity code of Finland.
        FiHetu = "fi_hetu",
        /// A social security number of France.
        FrNir = "fr_nir",
        /// An NHS number of England and Wales.
        UkNhs = "uk_nhs",
        /// A personal identification number of Croatia.
        HrOib = "hr_oib",
        /// An Aadhaar number of India.
        InAadhaar = "in_aadhaar",
        /// A codice fiscale of Italy.
        ItCodiceFiscale = "it_codice_fiscale",
        /// A resident registration number of Korea.
        KrResident = "kr_resident",
        /// A citizen service number of the Netherlands.
        NlBsn = "nl_bsn",
        /// A national identity number of Norway.
        NoFnr = "no_fnr",
        /// A PESEL of Poland.
        PlPesel = "pl_pesel",
        /// A taxpayer number of Portugal.
        PtNif = "pt_nif",
        /// A personal numeric code of Romania.
        RoCnp = "ro_cnp",
        /// A personal identity number of Sweden.
        SePersonnummer = "se_personnummer",
        /// A national identity number of Singapore.
        SgNric = "sg_nric",
        /// An identity number of Turkey.
        TrTckn = "tr_tckn",
        /// A provider number of the health system of the United States.
        UsNpi = "us_npi",
        /// A token that ends in the CRC-32 of what stands behind its prefix, as
        /// those of GitHub and npm do.
        TokenCrc32 = "token_crc32",
        /// A web token whose head is JSON that names an algorithm.
        Jwt = "jwt",
        /// Signs that look as if they were drawn by chance.
        Random = "random",
    }
}

impl Check {
    pub(crate) fn passes(self, text: &str) -> bool {
        // One sign repeated passes many formulas and is nobody's number.
        if self != Self::None && is_one_sign(text) {
            return false;
        }
        match self {
            Self::None => true,
            Self::Luhn => luhn(&digits(text)),
            Self::Iban => business::iban(text),
            Self::UsRouting => business::us_routing(&digits(text)),
            Self::Isin => business::isin(text),
            Self::Lei => business::lei(text),
            Self::Vin => business::vin(text),
            Self::AuAbn => business::au_abn(&digits(text)),
            Self::BrCnpj => business::br_cnpj(&digits(text)),
            Self::Base58 => token::base58(text),
            Self::AuTfn => personal::au_tfn(&digits(text)),
            Self::BeNational => personal::be_national(&digits(text)),
            Self::BrCpf => personal::br_cpf(&digits(text)),
            Self::ChAhv => personal::ch_ahv(&digits(text)),
            Self::ClRut => personal::cl_rut(text),
            Self::CnResident => personal::cn_resident(text),
            Self::DeTaxId => personal::de_tax_id(&digits(text)),
            Self::EsDni => personal::es_dni(text),
            Self::FiHetu => personal::fi_hetu(text),
            Self::FrNir => personal::fr_nir(text),
            Self::UkNhs => personal::uk_nhs(&digits(text)),
            Self::HrOib => personal::hr_oib(&digits(text)),
            Self::InAadhaar => personal::in_aadhaar(&digits(text)),
            Self::ItCodiceFiscale => personal::it_codice_fiscale(text),
            Self::KrResident => personal::kr_resident(&digits(text)),
            Self::NlBsn => personal::nl_bsn(&digits(text)),
            Self::NoFnr => personal::no_fnr(&digits(text)),
            Self::PlPesel => personal::pl_pesel(&digits(text)),
            Self::PtNif => personal::pt_nif(&digits(text)),
            Self::RoCnp => personal::ro_cnp(&digits(text)),
            Self::SePersonnummer => personal::se_personnummer(&digits(text)),
            Self::SgNric => personal::sg_nric(text),
            Self::TrTckn => personal::tr_tckn(&digits(text)),
            Self::UsNpi => personal::us_npi(&digits(text)),
            Self::TokenCrc32 => token::crc32(text),
            Self::Jwt => token::jwt(text),
            Self::Random => token::random(text),
        }
    }
}

fn is_one_sign(text: &str) -> bool {
    let mut signs = text.chars().filter(char::is_ascii_alphanumeric);
    let first = signs.next();
    signs.all(|sign| Some(sign) == first)
}

fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|c| c.to_digit(10)).collect()
}

/// Letters and digits, letters in capitals.
fn signs(text: &str) -> Vec<char> {
    let signs = text.chars().filter(char::is_ascii_alphanumeric);
    signs.map(|c| c.to_ascii_uppercase()).collect()
}

/// The digits, each as often as its weight; `None` where there are not as many.
fn weighted(digits: &[u32], weights: &[u32]) -> Option<u32> {
    (digits.len() == weights.len()).then(|| {
        digits
            .iter()
            .zip(weights)
            .map(|(digit, weight)| digit * weight)
            .sum()
    })
}

/// From the right, every second digit counts double, less nine above nine.
fn luhn(digits: &[u32]) -> bool {
    let weighted = |(place, digit): (usize, &u32)| match (place % 2, digit * 2) {
        (0, _) => *digit,
        (_, double) if double > 9 => double - 9,
        (_, double) => double,
    };
    let sum: u32 = digits.iter().rev().enumerate().map(weighted).sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}

/// ISO/IEC 7064, MOD 11,10: each digit is carried through both moduli.
fn mod_11_10(digits: &[u32]) -> bool {
    let Some((check, body)) = digits.split_last() else {
        return false;
    };
    let product = body.iter().fold(10, |product, digit| {
        let sum = (digit + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == *check
}

/// The number modulo 97, letters as 10 to 35.
fn mod_97<'a>(signs: impl IntoIterator<Item = &'a char>) -> u32 {
    signs
        .into_iter()
        .filter_map(|c| c.to_digit(36))
        .fold(0, |rest, sign| {
            let shift = if sign > 9 { 100 } else { 10 };
            (rest * shift + sign) % 97
        })
}

#[cfg(test)]
mod tests;
