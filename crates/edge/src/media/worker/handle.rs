//! A worker, as the rest of the edge holds it: its thread, and what it is told.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use mio::unix::SourceFd;
use mio::{Interest, Poll, Waker};
use sluice_sfu::forward::Forwarder;
use sluice_types::units::Time;
use sluice_wire::dtls::DtlsIdentity;
use sluice_wire::udp::Sender;
use tokio::sync::mpsc;

use super::command::Command;
use super::report::{Shared, WorkerReport};
use super::strangers::Strangers;
use super::table::Table;
use super::{SOCKET, WAKE, Worker};
use crate::media::MediaConfig;
use crate::media::event::MediaEvent;
use crate::media::relay::RelayInlet;

/// Commands that wait for a worker. A burst of 500 joins takes some 20 each.
const COMMANDS: usize = 16_384;

/// A worker, as the rest of the edge holds it.
pub(crate) struct WorkerHandle {
    commands: Arc<ArrayQueue<Command>>,
    waker: Arc<Waker>,
    inlet: RelayInlet,
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl WorkerHandle {
    /// Starts a worker with a socket at `address`.
    pub(crate) fn start(
        index: usize,
        address: SocketAddr,
        config: &MediaConfig,
        identity: DtlsIdentity,
        events: mpsc::Sender<MediaEvent>,
    ) -> io::Result<Self> {
        let socket = Arc::new(sluice_wire::udp::bind(address)?);
        let address = socket.local_addr()?;
        let poll = Poll::new()?;
        poll.registry().register(
            &mut SourceFd(&socket.as_raw_fd()),
            SOCKET,
            Interest::READABLE,
        )?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let commands = Arc::new(ArrayQueue::new(COMMANDS));
        let inlet = RelayInlet::new(waker.clone());
        let shared = Arc::<Shared>::default();
        let worker = Worker {
            index,
            socket,
            poll,
            commands: commands.clone(),
            inlet: inlet.clone(),
            events,
            identity,
            shared: shared.clone(),
            started: Instant::now(),
            forwarder: Forwarder::new(config.replay),
            table: Table::default(),
            strangers: Strangers::new(config.addresses.clone()),
            sender: Sender::new(config.segmentation),
            notices: Vec::new(),
            next_link: 0,
            next_transport: Time::ZERO,
            next_chores: Time::ZERO,
            busy: Duration::ZERO,
            stopping: false,
        };
        let pin = config.pin;
        let thread = std::thread::Builder::new()
            .name(format!("media-{index}"))
            .spawn(move || {
                if pin && let Err(error) = sluice_wire::core::pin(index) {
                    tracing::warn!(worker = index, %error, "the worker is not pinned to a core");
                }
                worker.run();
            })?;
        Ok(Self {
            commands,
            waker,
            inlet,
            shared,
            address,
            thread: Some(thread),
        })
    }

    /// Where the worker's socket is bound.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where relayed packets are delivered.
    pub(crate) const fn inlet(&self) -> &RelayInlet {
        &self.inlet
    }

    /// What the worker counted lately.
    pub(crate) fn report(&self) -> WorkerReport {
        self.shared.read()
    }

    /// Share of one core that the worker used lately, in thousandths.
    pub(crate) fn load_permille(&self) -> u32 {
        self.shared.load_permille()
    }

    /// Gives the worker something to do. When its queue is full, the command is dropped and an
    /// error logged: a worker that far behind serves nobody any more.
    pub(crate) fn tell(&self, command: Command) {
        if self.commands.push(command).is_err() {
            tracing::error!(
                queued = COMMANDS,
                "a media worker is stuck; a command was dropped"
            );
        }
        // The worker looks at least every 20 ms, even if waking it failed.
        let _ = self.waker.wake();
    }

    /// A handle for ICE-TCP connections.
    pub(crate) fn mailbox(&self) -> Mailbox {
        Mailbox {
            commands: self.commands.clone(),
            waker: self.waker.clone(),
        }
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        self.tell(Command::Stop);
        if let Some(thread) = self.thread.take() {
            // It panicked if this fails, and has said so.
            let _ = thread.join();
        }
    }
}

/// A way to tell a worker things.
#[derive(Clone)]
pub(crate) struct Mailbox {
    commands: Arc<ArrayQueue<Command>>,
    waker: Arc<Waker>,
}

impl Mailbox {
    /// As [`WorkerHandle::tell`], but a packet that finds the queue full is simply lost.
    pub(crate) fn tell(&self, command: Command) {
        let _ = self.commands.push(command);
        let _ = self.waker.wake();
    }
}
