//! The shape of a key table: what the parser accepts, what the schema says and what the example must name
//! all come from these rows, so they cannot disagree.

use std::time::Duration;

/// One key of the configuration file.
#[derive(Debug)]
pub(super) struct Key {
    /// The word in the file.
    pub(super) name: &'static str,
    /// What may stand there.
    pub(super) kind: Kind,
    /// Whether the key must be present.
    pub(super) required: bool,
    /// The value when the key is absent, written as in the file; read by the same parser.
    pub(super) default: Option<&'static str>,
    /// One sentence for the schema, with the unit and the bounds where there are any.
    pub(super) doc: &'static str,
}

impl Key {
    /// A key that may be left out and then means nothing at all.
    pub(super) const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, required: false, default: None, doc }
    }

    /// A key that must be there.
    pub(super) const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { name, kind, required: true, default: None, doc }
    }

    /// A key with a value of its own when it is left out.
    pub(super) const fn with_default(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { name, kind, required: false, default: Some(default), doc }
    }
}

/// What may stand at a key.
#[derive(Debug)]
pub(super) enum Kind {
    /// Free text with a pattern that the reader of the key checks; the word names the form.
    Text(Form),
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds.
    Count(u64, u64),
    /// A length of time within bounds.
    Duration(Duration, Duration),
    /// A number of bytes within bounds.
    Size(u64, u64),
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// A list of these.
    List(&'static Kind),
    /// A group whose keys and values are texts of the user's choice.
    Texts,
    /// A group of keys.
    Group(&'static [Key]),
    /// Groups under names of the user's choice (`[a-z0-9-]`), each of the variant that its tag names.
    Named(&'static Tagged),
    /// One of several kinds of different shape (scalar, list, group).
    Either(&'static [Kind]),
}

/// Groups told apart by the word under one of their keys.
#[derive(Debug)]
pub(super) struct Tagged {
    /// The key that holds the word.
    pub(super) tag: &'static str,
    /// Word and keys (the tag's own among them) of each variant.
    pub(super) variants: &'static [(&'static str, &'static [Key])],
}

/// The written form of a text value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Anything but nothing.
    Any,
    /// A text that must never be shown.
    Secret,
    /// Twelve digits.
    Account,
    /// `o-` and 10 to 32 of `[a-z0-9]`.
    Organization,
    /// `s3://bucket[/prefix]`, `file:///folder` or `file://./folder`.
    Place,
    /// A file or folder, absolute or relative to the configuration file's folder.
    Path,
    /// An RFC 3339 time, a date, `-1d`, or `beginning`.
    Start,
    /// `http://…` or `https://…`.
    Url,
    /// `address:port`, or `off`.
    Listen,
    /// An AWS region.
    Region,
    /// A role's ARN.
    RoleArn,
    /// A word of `[a-z0-9-]`, at most 40 characters.
    Name,
    /// `auto`.
    Auto,
    /// `none`.
    None,
}

impl Form {
    /// The form in words, for errors and the schema.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Any => "a text",
            Self::Secret => "a text (kept secret)",
            Self::Account => "an account id (twelve digits)",
            Self::Organization => "an organization id (o- and 10 to 32 of a-z, 0-9)",
            Self::Place => "s3://bucket/prefix, file:///folder, or file://./folder beside this file",
            Self::Path => "a path, absolute or relative to this file's folder",
            Self::Start => "a time (2026-01-31T00:00:00Z), a date (2026-01-31), -1d, or beginning",
            Self::Url => "a URL (https://host:port)",
            Self::Listen => "address:port, or off",
            Self::Region => "a region such as eu-central-1",
            Self::RoleArn => "a role's ARN (arn:aws:iam::111122223333:role/NAME)",
            Self::Name => "a name of a-z, 0-9 and - (at most 40 characters)",
            Self::Auto => "auto",
            Self::None => "none",
        }
    }
}
