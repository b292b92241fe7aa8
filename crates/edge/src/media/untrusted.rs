//! What strangers send to the edge's own parsers, for fuzzing: each function reads bytes as the edge
//! would and panics when something does not hold that must.

use sluice_sfu::rtp::Extension;

use super::ice::{Check, LocalCredentials};
use super::sdp::{
    self, Description, KindFormats, LocalMedia, MEDIA_MAX, RemoteDescription, RemoteMedia,
    Transport,
};
use sluice_wire::dtls::Fingerprint;

/// The password and user fragment that [`stun`] answers with are made of this byte.
const RANDOM: u8 = 9;

/// Reads a packet as a STUN binding request, and answers it as the participant whom it names.
///
/// # Panics
/// When a request without the participant's password is answered, or one that is answered is not
/// answered to its sender.
pub fn stun(packet: &[u8]) {
    let Ok(check) = Check::parse(packet) else {
        return;
    };
    let local = check.local_ufrag().to_owned();
    assert!(!local.contains(':'), "a user fragment with a separator");
    let credentials = LocalCredentials::from_random(&[RANDOM; 30]);
    let Ok(provider) = rtc_crypto::default_provider() else {
        return;
    };
    let from = ([192, 0, 2, 1], 7_000).into();
    if let Ok((answer, _)) = check.answer(&credentials, "far", from, provider.crypto()) {
        let transaction = |message: &[u8]| message.get(4..20).map(<[u8]>::to_vec);
        assert_eq!(transaction(packet), transaction(&answer));
    }
}

/// A binding request that [`stun`] finds good, to begin from.
///
/// # Panics
/// Never: the attributes are constants that fit.
#[must_use]
pub fn stun_request() -> Vec<u8> {
    use rtc_stun::attributes::ATTR_USERNAME;
    use rtc_stun::fingerprint::FINGERPRINT;
    use rtc_stun::integrity::MessageIntegrity;
    use rtc_stun::message::{BINDING_REQUEST, Message, Setter as _};

    let credentials = LocalCredentials::from_random(&[RANDOM; 30]);
    let mut message = Message::new();
    message.set_type(BINDING_REQUEST);
    message.write_header();
    message.add(
        ATTR_USERNAME,
        format!("{}:far", credentials.ufrag).as_bytes(),
    );
    let provider = rtc_crypto::default_provider().expect("the provider is compiled in");
    MessageIntegrity::new_short_term_integrity_with_provider(
        credentials.password,
        provider.crypto(),
    )
    .add_to(&mut message)
    .expect("there is no fingerprint yet");
    FINGERPRINT.add_to(&mut message).expect("it is short");
    message.raw
}

/// Reads a text as a client's offer, and writes and reads an answer with what it brought.
///
/// # Panics
/// When a bound is not kept, or an answer does not say what the offer brought.
pub fn offer(text: &str) {
    let Ok(remote) = sdp::read(text) else {
        return;
    };
    assert!(remote.media.len() <= MEDIA_MAX);
    remote.media.iter().for_each(check);
    let taken = |media: &RemoteMedia| media.is_data() || !media.formats.is_empty();
    if !remote.media.iter().any(taken) {
        // An answer that turns everything down has no transport.
        return;
    }
    let answer = answer(&remote);
    let again = sdp::read(&answer).unwrap_or_else(|error| panic!("{error} in {answer}"));
    assert_eq!(again.media.len(), remote.media.len(), "{answer}");
    for (ours, theirs) in again.media.iter().zip(&remote.media) {
        assert_eq!(ours.mid, theirs.mid, "{answer}");
        if theirs.kind.is_some() && !theirs.formats.is_empty() {
            assert_eq!(ours.formats.len(), theirs.formats.len(), "{answer}");
            for (ours, theirs) in ours.formats.iter().zip(&theirs.formats) {
                assert_eq!(
                    (ours.codec, ours.payload_type, &ours.rtpmap, &ours.fmtp),
                    (
                        theirs.codec,
                        theirs.payload_type,
                        &theirs.rtpmap,
                        &theirs.fmtp
                    ),
                    "{answer}"
                );
            }
            assert_eq!(ours.extensions, theirs.extensions, "{answer}");
        }
    }
}

fn check(media: &RemoteMedia) {
    assert!((1..=16).contains(&media.mid.len()));
    for format in &media.formats {
        assert!(format.payload_type < 128 && format.retransmission.is_none_or(|rtx| rtx < 128));
    }
    assert!(media.extensions.len() <= Extension::ALL.len());
    for encoding in &media.encodings {
        assert!(encoding.rid.as_ref().is_none_or(|rid| rid.len() <= 16));
    }
}

/// An answer that takes every m-line as it was offered.
fn answer(remote: &RemoteDescription) -> String {
    let credentials = LocalCredentials::from_random(&[RANDOM; 30]);
    let formats: Vec<_> = remote
        .media
        .iter()
        .map(|media| KindFormats {
            formats: media.formats.clone(),
            extensions: media.extensions.clone(),
        })
        .collect();
    let media = remote
        .media
        .iter()
        .zip(&formats)
        .map(|(media, formats)| {
            let local = match media.kind {
                Some(kind) => LocalMedia::Active {
                    kind,
                    formats,
                    receives: true,
                    rids: &[],
                    sends: None,
                },
                None if media.is_data() => LocalMedia::Data,
                None => LocalMedia::Rejected {
                    name: &media.name,
                    protocol: &media.protocol,
                },
            };
            (media.mid.as_str(), local)
        })
        .collect();
    Description {
        session: 1,
        version: 1,
        offer: false,
        transport: Transport {
            credentials: &credentials,
            fingerprint: Fingerprint([RANDOM; 32]),
            udp: &[([192, 0, 2, 1], 7_411).into()],
            tcp: &[],
        },
        media,
    }
    .text()
}
