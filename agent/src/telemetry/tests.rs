//! The lists are well-formed, and the registry counts, sums, bounds and prints.

use std::collections::BTreeSet;

use super::log::valid_level;
use super::registry::MAX_SERIES;
use super::*;

#[test]
fn metric_names_follow_the_grammar() {
    let mut seen = BTreeSet::new();
    for metric in Metric::ALL {
        let name = metric.name();
        assert!(seen.insert(name), "{name} stands there twice");
        assert!(name.starts_with("trailhaul_"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert_eq!(metric.kind() == MetricKind::Counter, name.ends_with("_total"), "{name}");
        assert!(metric.labels().len() <= 2, "{name}");
        for label in metric.labels() {
            assert!(!["account", "object", "key", "message", "error"].contains(label), "{name}: {label}");
        }
        assert!(metric.help().ends_with('.') && !metric.help().starts_with(' '), "{name}");
    }
}

#[test]
fn event_names_are_words_and_differ() {
    let names: BTreeSet<&str> = Event::ALL.iter().map(|event| event.name()).collect();
    assert_eq!(names.len(), Event::ALL.len());
    assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
}

#[test]
fn kinds_of_findings_are_words_and_differ() {
    let names: BTreeSet<&str> = FindingKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), FindingKind::ALL.len());
    assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    for kind in FindingKind::ALL {
        assert_eq!(FindingKind::from_name(kind.name()), Some(*kind));
        assert!(kind.help().ends_with('.') && !kind.help().starts_with(' '), "{kind}");
    }
}

#[test]
fn handles_of_one_series_count_together() {
    let registry = Registry::new();
    registry.series(Metric::RecordsDelivered, &["archive"]).add(2);
    registry.series(Metric::RecordsDelivered, &["archive"]).add(3);
    registry.series(Metric::RecordsDelivered, &["files"]).add(4);
    registry.series(Metric::LanesOwned, &[]).set(16);
    registry.series(Metric::LanesOwned, &[]).set(15);
    assert_eq!(registry.total(Metric::RecordsDelivered), 9);
    assert_eq!(registry.total(Metric::LanesOwned), 15);
    assert_eq!(registry.total(Metric::RecordsIn), 0);
    assert_eq!(registry.samples().len(), 3);
}

#[test]
fn labels_from_outside_cannot_make_it_grow() {
    let registry = Registry::new();
    for index in 0..MAX_SERIES + 500 {
        registry.series(Metric::ObjectsFound, &[&index.to_string()]).add(1);
    }
    assert_eq!(registry.samples().len(), MAX_SERIES + 1);
    assert_eq!(registry.total(Metric::ObjectsFound), u64::try_from(MAX_SERIES + 500).unwrap());
    assert_eq!(registry.series(Metric::ObjectsFound, &["other"]).get(), 500);
}

#[test]
fn the_text_format_escapes_what_it_must() {
    let registry = Registry::new();
    registry.series(Metric::StoreErrors, &["read", "a\"b\\c\nd"]).add(7);
    assert_eq!(
        registry.prometheus(),
        "# HELP trailhaul_store_errors_total Failed calls to stores, by operation and class of failure.\n\
         # TYPE trailhaul_store_errors_total counter\n\
         trailhaul_store_errors_total{operation=\"read\",kind=\"a\\\"b\\\\c\\nd\"} 7\n"
    );
}

#[test]
fn levels_are_levels() {
    for good in ["info", "off", "WARN", "info,trailhaul::tail=debug", "trailhaul=trace"] {
        assert!(valid_level(good), "{good}");
    }
    for wrong in ["", "verbose", "info,", "trailhaul::tail=loud", "info,tail"] {
        assert!(!valid_level(wrong), "{wrong}");
    }
}
