//! The S3 store against both emulators: the promises of the seam, and what is particular to S3.

mod support;

use trailhaul::store::conformance;
use trailhaul_tests::emulator::{Emulator, Kind};

async fn conforms(kind: Kind) {
    let Some(emulator) = Emulator::start(kind) else { return };
    let aws = support::connect(&emulator.endpoint(), support::OWNER).await;
    let store = support::bucket(&aws, "conformance").await;
    conformance::check(&store, "").await.unwrap();
    conformance::check(&store, "some/prefix/").await.unwrap();
}

#[tokio::test]
async fn the_store_conforms_on_moto() {
    conforms(Kind::Moto).await;
}

#[tokio::test]
async fn the_store_conforms_on_ministack() {
    conforms(Kind::Ministack).await;
}
