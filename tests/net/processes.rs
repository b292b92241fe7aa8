//! What this test program is in a process of a fleet.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_until_it_is_ended() {
    sluice_tests::fleet::run_child().await;
}
