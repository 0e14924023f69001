//! The little DER that public keys need.
//!
//! CloudTrail documents its keys as PKCS#1 `RSAPublicKey` and warns that the encoding may change; one of the
//! documented sample keys is an SPKI (X.509). Both are told apart here, strictly: definite minimal lengths,
//! nothing left over. Sources: RFC 8017 A.1.1, RFC 5280 4.1, X.690.

/// `SEQUENCE { OBJECT IDENTIFIER rsaEncryption (1.2.840.113549.1.1.1), NULL }`.
const RSA_ALGORITHM: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// How a key was encoded, with the PKCS#1 bytes inside.
pub(super) enum RsaKey<'a> {
    Pkcs1(&'a [u8]),
    Spki(&'a [u8]),
}

/// Recognizes an RSA public key; `None` for anything else.
pub(super) fn recognize(der: &[u8]) -> Option<RsaKey<'_>> {
    if is_pkcs1(der) {
        return Some(RsaKey::Pkcs1(der));
    }
    let (body, rest) = read(der, SEQUENCE)?;
    let bits = body.strip_prefix(&RSA_ALGORITHM)?;
    let (bits, more) = read(bits, BIT_STRING)?;
    let inner = bits.strip_prefix(&[0])?;
    if rest.is_empty() && more.is_empty() && is_pkcs1(inner) { Some(RsaKey::Spki(inner)) } else { None }
}

/// `SEQUENCE { INTEGER modulus, INTEGER exponent }` and nothing else.
fn is_pkcs1(der: &[u8]) -> bool {
    let parse = || {
        let (body, rest) = read(der, SEQUENCE)?;
        let (_, exponent) = read(body, INTEGER)?;
        let (_, more) = read(exponent, INTEGER)?;
        Some(rest.is_empty() && more.is_empty())
    };
    parse().unwrap_or(false)
}

/// Reads one element with this tag: its content, and what follows it.
fn read(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = der.strip_prefix(&[tag])?.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => {
            let (&one, rest) = rest.split_first()?;
            if one < 0x80 {
                return None;
            }
            (usize::from(one), rest)
        }
        0x82 => {
            let ([high, low], rest) = rest.split_first_chunk::<2>()?;
            if *high == 0 {
                return None;
            }
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut der = vec![tag];
        match body.len() {
            short @ 0..=0x7f => der.push(short as u8),
            middle @ 0x80..=0xff => der.extend([0x81, middle as u8]),
            long => der.extend([&[0x82][..], &(long as u16).to_be_bytes()].concat()),
        }
        der.extend(body);
        der
    }

    #[test]
    fn both_encodings_are_told_apart_and_nothing_may_follow() {
        let pkcs1 = element(SEQUENCE, &[element(INTEGER, &[7; 257]), element(INTEGER, &[1, 0, 1])].concat());
        let bits = element(BIT_STRING, &[&[0][..], &pkcs1].concat());
        let spki = element(SEQUENCE, &[&RSA_ALGORITHM[..], &bits].concat());
        assert!(matches!(recognize(&pkcs1), Some(RsaKey::Pkcs1(inner)) if inner == pkcs1));
        assert!(matches!(recognize(&spki), Some(RsaKey::Spki(inner)) if inner == pkcs1));
        for good in [&pkcs1, &spki] {
            assert!(recognize(&[good.as_slice(), &[0]].concat()).is_none());
            assert!(recognize(&good[..good.len() - 1]).is_none());
        }
        assert!(recognize(&[]).is_none() && recognize(b"hello").is_none());
        assert!(recognize(&[0x30, 0x80, 0, 0]).is_none(), "indefinite length");
        assert!(recognize(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_none(), "a length beyond all bytes");
    }
}
