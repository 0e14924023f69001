//! Public keys that the agent has fetched and keeps in its journal.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trailhaul_core::model::KeyNote;
use trailhaul_core::verify::{KeyRing, PublicKey};

/// Adds kept keys to `ring`, each for its region; one whose bytes are not Base64 is passed over.
pub fn load_kept_keys(notes: &[KeyNote], ring: &mut KeyRing) {
    for note in notes {
        let Ok(der) = STANDARD.decode(&note.public_key) else { continue };
        let key = PublicKey::new(&note.fingerprint, der, note.from.as_second(), note.until.as_second());
        ring.add(Some(&note.region), [key]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_keys_are_known_again() {
        let note = |region: &str, public_key: &str| KeyNote {
            region: region.to_owned(),
            fingerprint: "ab".to_owned(),
            public_key: public_key.to_owned(),
            from: "2026-05-01T00:00:00Z".parse().unwrap(),
            until: "2026-06-01T00:00:00Z".parse().unwrap(),
            at: "2026-05-02T00:00:00Z".parse().unwrap(),
        };
        let mut ring = KeyRing::default();
        load_kept_keys(&[note("eu-west-1", "AQI="), note("us-east-1", "not base64")], &mut ring);
        let kept: Vec<_> = ring.iter().collect();
        let expected = PublicKey::new("ab", vec![1, 2], 1_777_593_600, 1_780_272_000);
        assert_eq!(kept, [(Some("eu-west-1"), &expected)]);
    }
}
