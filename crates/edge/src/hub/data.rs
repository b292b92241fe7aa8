//! Data messages: from a participant's channel to those it addresses, here and at other edges.
//!
//! On the wire a message is two bytes of length, big-endian, as much JSON, and the payload.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use sluice_types::ids::{MeetingId, ParticipantId};
use sluice_types::room::{DATA_RECIPIENTS_MAX, DATA_TOPIC_BYTES_MAX, DataMessage};
use sluice_types::signal::ErrorCode;
use thiserror::Error;

use super::command::ToSocket;
use super::{Hub, Member};

/// What a client puts before a payload.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Addressed {
    to: Vec<ParticipantId>,
    topic: Option<String>,
}

/// What an edge puts before a payload.
#[derive(Debug, Serialize)]
struct Delivered<'a> {
    from: &'a ParticipantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
}

/// Why a data message is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum DataError {
    /// It ends before its header does.
    #[error("a data message begins with two bytes of length and as much JSON")]
    Short,
    /// Its header is not what it should be.
    #[error("the header of a data message cannot be read: {0}")]
    Header(String),
    /// It names too many.
    #[error("a data message to {found} participants; at most {DATA_RECIPIENTS_MAX} are allowed")]
    Recipients {
        /// How many.
        found: usize,
    },
    /// Its topic is too long.
    #[error("a topic of {found} bytes; at most {DATA_TOPIC_BYTES_MAX} are allowed")]
    Topic {
        /// How long.
        found: usize,
    },
}

/// Reads a client's message.
pub(super) fn read(
    from: &ParticipantId,
    reliable: bool,
    bytes: &[u8],
) -> Result<DataMessage, DataError> {
    let (length, rest) = bytes.split_first_chunk::<2>().ok_or(DataError::Short)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (header, payload) = rest.split_at_checked(length).ok_or(DataError::Short)?;
    let header: Addressed =
        serde_json::from_slice(header).map_err(|error| DataError::Header(error.to_string()))?;
    if header.to.len() > DATA_RECIPIENTS_MAX {
        return Err(DataError::Recipients {
            found: header.to.len(),
        });
    }
    let topic = header.topic.as_ref().map_or(0, String::len);
    if topic > DATA_TOPIC_BYTES_MAX {
        return Err(DataError::Topic { found: topic });
    }
    Ok(DataMessage {
        from: from.clone(),
        to: header.to,
        topic: header.topic,
        reliable,
        payload: payload.to_vec(),
    })
}

/// Writes a message for those who get it.
pub(super) fn write(message: &DataMessage) -> Bytes {
    let header = Delivered {
        from: &message.from,
        topic: message.topic.as_deref(),
    };
    // Two strings: far below 64 KiB, and always JSON.
    let header = serde_json::to_vec(&header).unwrap_or_default();
    let mut bytes = BytesMut::with_capacity(2 + header.len() + message.payload.len());
    bytes.put_u16(header.len() as u16);
    bytes.put_slice(&header);
    bytes.put_slice(&message.payload);
    bytes.freeze()
}

impl Hub {
    /// A participant's message came.
    pub(super) fn take_data(
        &mut self,
        room: &MeetingId,
        from: &ParticipantId,
        reliable: bool,
        bytes: &[u8],
    ) {
        let allowed = |member: &mut Member| member.session.may_send_data();
        if !self.member(room, from).is_some_and(allowed) {
            let why = "the token does not grant `publishData`".to_owned();
            return self.refuse_data(room, from, ErrorCode::Forbidden, why);
        }
        let message = match read(from, reliable, bytes) {
            Ok(message) => message,
            Err(error) => {
                return self.refuse_data(room, from, ErrorCode::BadMessage, error.to_string());
            }
        };
        metrics::counter!("sluice_edge_data_messages_total").increment(1);
        self.deliver_data(room, &message);
        let all_here = !message.to.is_empty()
            && self
                .rooms
                .get(room)
                .is_some_and(|state| message.to.iter().all(|to| state.members.contains_key(to)));
        if !all_here {
            self.mesh.send_data(room, message);
        }
    }

    /// Hands a message to those of this edge who should get it.
    pub(super) fn deliver_data(&mut self, room: &MeetingId, message: &DataMessage) {
        let Some(state) = self.rooms.get(room) else {
            return;
        };
        let bytes = write(message);
        for (participant, member) in &state.members {
            if message.is_for(participant) {
                member.session.send_data(message.reliable, bytes.clone());
            }
        }
    }

    pub(super) fn refuse_data(
        &mut self,
        room: &MeetingId,
        participant: &ParticipantId,
        code: ErrorCode,
        why: String,
    ) {
        metrics::counter!("sluice_edge_dropped_data_messages_total", "reason" => "refused")
            .increment(1);
        if let Some(socket) = self
            .member(room, participant)
            .and_then(|member| member.socket.as_ref())
        {
            socket.tell(ToSocket::error(code, why, false));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(header: &str, payload: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_be_bytes();
        [&length, header.as_bytes(), payload].concat()
    }

    fn someone(n: u8) -> ParticipantId {
        ParticipantId::from_random([n; 10])
    }

    #[test]
    fn a_message_says_to_whom_and_what_about() {
        let header = format!(r#"{{"to":["{}"],"topic":"chat"}}"#, someone(2));
        let message = read(&someone(1), true, &bytes(&header, b"hello")).expect("readable");
        assert_eq!(message.to, [someone(2)]);
        assert!(message.is_for(&someone(2)) && !message.is_for(&someone(3)));
        let delivered = write(&message);
        let expected = format!(r#"{{"from":"{}","topic":"chat"}}"#, someone(1));
        assert_eq!(delivered, bytes(&expected, b"hello"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        let read = |bytes: &[u8]| read(&someone(1), false, bytes);
        assert_eq!(read(&[0]), Err(DataError::Short));
        assert_eq!(read(&[0, 9, b'{']), Err(DataError::Short));
        assert!(matches!(
            read(&bytes("{\"too\":1}", b"")),
            Err(DataError::Header(_))
        ));
        let topic = format!(r#"{{"topic":"{}"}}"#, "x".repeat(65));
        assert_eq!(
            read(&bytes(&topic, b"")),
            Err(DataError::Topic { found: 65 })
        );
        assert!(read(&bytes("{}", b"")).expect("to all").is_for(&someone(7)));
    }
}
