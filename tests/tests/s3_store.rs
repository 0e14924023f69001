//! The S3 store against both emulators: the promises of the seam, and what is particular to S3.

mod support;

use trailhaul::store::conformance::{self, Gap};
use trailhaul_tests::emulator::{Emulator, Kind};

async fn conforms(kind: Kind, gaps: &[Gap]) {
    let Some(emulator) = Emulator::start(kind) else { return };
    let aws = support::connect(&emulator.endpoint(), support::OWNER).await;
    let store = support::bucket(&aws, "conformance").await;
    conformance::check_except(&store, "", gaps).await.unwrap();
    conformance::check_except(&store, "some/prefix/", gaps).await.unwrap();
}

#[tokio::test]
async fn the_store_conforms_on_moto() {
    // It answers 500 to a part of an upload that is not there.
    conforms(Kind::Moto, &[Gap::PartOfNoUpload]).await;
}

#[tokio::test]
async fn the_store_conforms_on_ministack() {
    conforms(Kind::Ministack, &[]).await;
}
