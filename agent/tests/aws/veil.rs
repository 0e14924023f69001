//! A veil before the buckets: what an agent does not see of them, yet or ever.
//!
//! In: a proxy, the tree with the public keys. Out: answers in which something is missing. Withheld objects are
//! nowhere until the veil is lifted; skipped ones are left out of listings for ever, and can be read. CloudTrail's
//! ListPublicKeys is answered from the tree; it tells nothing of trails.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use trailhaul_tests::proxy::{Action, Answer, Proxy, Request, Service, leave_out};

use crate::cloud::public_keys;

/// A bucket and a key.
pub(crate) type Object = (String, String);

#[derive(Debug, Default)]
struct Hidden {
    withheld: BTreeSet<Object>,
    folders: Vec<String>,
    skipped: BTreeSet<Object>,
}

/// Clones are the same veil.
#[derive(Debug, Clone, Default)]
pub(crate) struct Veil(Arc<Mutex<Hidden>>);

impl Veil {
    /// Puts the veil up: all digests are withheld, and these objects.
    pub(crate) fn hang(proxy: &Proxy, root: PathBuf, withheld: BTreeSet<Object>) -> Self {
        let folders = vec!["/CloudTrail-Digest/".to_owned()];
        let hidden = Hidden { withheld, folders, skipped: BTreeSet::new() };
        let veil = Self(Arc::new(Mutex::new(hidden)));
        let of_proxy = veil.clone();
        proxy.script(move |request| of_proxy.decide(&root, request));
        veil
    }

    /// Leaves these out of listings from now on.
    pub(crate) fn skip(&self, objects: impl IntoIterator<Item = Object>) {
        self.0.lock().unwrap().skipped.extend(objects);
    }

    /// Withholds nothing any more but what lies in these folders, a part of whose path this is.
    pub(crate) fn lift_but(&self, folders: &[String]) {
        let mut hidden = self.0.lock().unwrap();
        hidden.withheld.clear();
        hidden.folders = folders.to_vec();
    }

    fn decide(&self, root: &std::path::Path, request: &Request) -> Action {
        match (request.service, request.operation.as_str()) {
            (Service::CloudTrail, "ListPublicKeys") => public_keys(root, request),
            (Service::CloudTrail, _) => Action::Answer(Answer::json(400, "AccessDeniedException")),
            (Service::S3, "ListObjectsV2") => {
                let (hidden, bucket) = (Arc::clone(&self.0), request.bucket.clone());
                Action::Rewrite(Box::new(move |answer| {
                    let hidden = hidden.lock().unwrap();
                    leave_out(answer, |key| {
                        let object = (bucket.clone(), key.to_owned());
                        hidden.withholds(&object) || hidden.skipped.contains(&object)
                    })
                }))
            }
            (Service::S3, "GetObject" | "HeadObject") => {
                let object = (request.bucket.clone(), request.key.replace("%2F", "/"));
                if self.0.lock().unwrap().withholds(&object) {
                    return Action::Answer(Answer::s3(404, "NoSuchKey"));
                }
                Action::Forward
            }
            _ => Action::Forward,
        }
    }
}

impl Hidden {
    fn withholds(&self, object: &Object) -> bool {
        let is_in = |folder: &String| object.1.contains(folder.as_str());
        self.folders.iter().any(is_in) || self.withheld.contains(object)
    }
}
