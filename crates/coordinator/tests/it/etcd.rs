//! Real members of etcd on loopback.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sluice_coordinator::store::{EtcdSettings, EtcdStore};
use tokio::time::{sleep, timeout};

use crate::ports::free_port;

/// How long members may take to agree on a leader.
const PATIENCE: Duration = Duration::from_secs(30);

/// Members that end when this is dropped.
pub(crate) struct Etcd {
    members: Vec<Child>,
    pub(crate) endpoints: Vec<String>,
    _work: tempfile::TempDir,
}

impl Etcd {
    /// Starts so many members, and waits until they answer.
    pub(crate) async fn start(count: usize) -> Self {
        let work = tempfile::tempdir().expect("a directory");
        let ports: Vec<_> = (0..2 * count).map(|_| free_port()).collect();
        let url = |index: usize| format!("http://127.0.0.1:{}", ports[index]);
        let cluster: Vec<_> = (0..count)
            .map(|member| format!("m{member}={}", url(count + member)))
            .collect();
        let members = (0..count).map(|member| {
            let (client, peer) = (url(member), url(count + member));
            Command::new("etcd")
                .args(["--name", &format!("m{member}")])
                .arg("--data-dir")
                .arg(work.path().join(format!("m{member}")))
                .args(["--listen-client-urls", &client])
                .args(["--advertise-client-urls", &client])
                .args(["--listen-peer-urls", &peer])
                .args(["--initial-advertise-peer-urls", &peer])
                .args(["--initial-cluster", &cluster.join(",")])
                // Leases may be as short as one and a half elections.
                .args(["--heartbeat-interval", "100", "--election-timeout", "1000"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("etcd runs: scripts/setup installs it")
        });
        let started = Self {
            members: members.collect(),
            endpoints: (0..count).map(url).collect(),
            _work: work,
        };
        let settings = started.settings("ready/");
        let ready = async {
            while EtcdStore::connect(&settings).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, ready).await.expect("etcd answers");
        started
    }

    pub(crate) fn settings(&self, prefix: &str) -> EtcdSettings {
        EtcdSettings {
            endpoints: self.endpoints.clone(),
            prefix: prefix.to_owned(),
            tls: None,
            user: None,
            lease: Duration::from_secs(2),
        }
    }

    /// Which member the others follow.
    pub(crate) async fn leader(&self) -> usize {
        for (member, endpoint) in self.endpoints.iter().enumerate() {
            let client = etcd_client::Client::connect([endpoint], None).await;
            let status = client.expect("a client").status().await.expect("an answer");
            let own = status
                .header()
                .map_or(0, etcd_client::ResponseHeader::member_id);
            if status.leader() == own {
                return member;
            }
        }
        unreachable!("members that answer have a leader")
    }

    /// Kills a member.
    pub(crate) fn kill(&mut self, member: usize) {
        let member = &mut self.members[member];
        member.kill().expect("running");
        member.wait().expect("killed");
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            // One that was killed already has been waited for.
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}
