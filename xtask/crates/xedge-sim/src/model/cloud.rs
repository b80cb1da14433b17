//! A cloud: listens to what gateways publish upstream.

use std::sync::Arc;

use tokio::time::Instant;

use super::message::Upstream;
use super::{Behaviour, Outgoing, Phase, Tally};
use crate::history::{Kind, Recorder};
use crate::mqtt::Publish;

pub(super) struct Cloud {
    id: Arc<str>,
    recorder: Recorder,
    tally: Arc<Tally>,
}

impl Cloud {
    pub(super) fn new(id: Arc<str>, recorder: Recorder, tally: Arc<Tally>) -> Self {
        Self { id, recorder, tally }
    }
}

impl Behaviour for Cloud {
    fn phase(&mut self, _: Phase) {}

    fn due(&self) -> Option<Instant> {
        None
    }

    fn fire(&mut self) -> Option<Outgoing> {
        None
    }

    fn message(&mut self, publish: &Publish) {
        let topic = publish.topic.clone();
        let kind = match serde_json::from_slice::<Upstream>(&publish.payload) {
            Ok(seen) => {
                self.tally.upstream(&self.id, &seen.gateway, seen.total);
                let Upstream { gateway, window, readings, total, .. } = seen;
                Kind::Upstream { topic, gateway, window, readings, total, dup: publish.dup }
            }
            Err(error) => Kind::Unreadable { topic, reason: error.to_string() },
        };
        self.recorder.record(&self.id, kind);
    }

    fn acked(&mut self) {}
}
