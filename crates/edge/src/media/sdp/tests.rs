use sluice_sfu::codec::Payload;

use super::*;
use crate::media::ice::LocalCredentials;

/// What Chromium offers for one sending audio and one sending video m-line, shortened.
const CHROMIUM: &str = "v=0\r\n\
o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\n\
s=-\r\n\
t=0 0\r\n\
a=group:BUNDLE 0 1 2\r\n\
a=extmap-allow-mixed\r\n\
a=msid-semantic: WMS\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9\r\n\
c=IN IP4 0.0.0.0\r\n\
a=rtcp:9 IN IP4 0.0.0.0\r\n\
a=ice-ufrag:4ZcD\r\n\
a=ice-pwd:2/1muCWoOi3uLifh0NuRHlRC\r\n\
a=ice-options:trickle\r\n\
a=fingerprint:sha-256 49:66:12:17:0D:1C:91:AE:57:4C:C6:36:DD:D5:97:D2:7D:62:C9:9A:7F:B9:A3:F4:70:03:E7:43:91:73:23:5E\r\n\
a=setup:actpass\r\n\
a=mid:0\r\n\
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
a=sendonly\r\n\
a=msid:- 8b2a\r\n\
a=rtcp-mux\r\n\
a=rtcp-rsize\r\n\
a=rtpmap:111 opus/48000/2\r\n\
a=rtcp-fb:111 transport-cc\r\n\
a=fmtp:111 minptime=10;useinbandfec=1\r\n\
a=rtpmap:63 red/48000/2\r\n\
a=fmtp:63 111/111\r\n\
a=rtpmap:9 G722/8000\r\n\
a=ssrc:1409 cname:k\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104 45 46\r\n\
c=IN IP4 0.0.0.0\r\n\
a=ice-ufrag:4ZcD\r\n\
a=ice-pwd:2/1muCWoOi3uLifh0NuRHlRC\r\n\
a=fingerprint:sha-256 49:66:12:17:0D:1C:91:AE:57:4C:C6:36:DD:D5:97:D2:7D:62:C9:9A:7F:B9:A3:F4:70:03:E7:43:91:73:23:5E\r\n\
a=setup:actpass\r\n\
a=mid:1\r\n\
a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
a=extmap:13 urn:3gpp:video-orientation\r\n\
a=sendrecv\r\n\
a=rtcp-mux\r\n\
a=rtpmap:96 VP8/90000\r\n\
a=rtcp-fb:96 nack\r\n\
a=rtcp-fb:96 nack pli\r\n\
a=rtpmap:97 rtx/90000\r\n\
a=fmtp:97 apt=96\r\n\
a=rtpmap:103 H264/90000\r\n\
a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r\n\
a=rtcp-fb:103 nack\r\n\
a=rtpmap:104 rtx/90000\r\n\
a=fmtp:104 apt=103\r\n\
a=rtpmap:45 AV1/90000\r\n\
a=fmtp:45 level-idx=5;profile=0;tier=0\r\n\
a=rtcp-fb:45 nack\r\n\
a=rtpmap:46 rtx/90000\r\n\
a=fmtp:46 apt=45\r\n\
a=ssrc-group:FID 2231 3313\r\n\
a=ssrc:2231 cname:k\r\n\
a=ssrc:3313 cname:k\r\n\
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
c=IN IP4 0.0.0.0\r\n\
a=ice-ufrag:4ZcD\r\n\
a=ice-pwd:2/1muCWoOi3uLifh0NuRHlRC\r\n\
a=fingerprint:sha-256 49:66:12:17:0D:1C:91:AE:57:4C:C6:36:DD:D5:97:D2:7D:62:C9:9A:7F:B9:A3:F4:70:03:E7:43:91:73:23:5E\r\n\
a=mid:2\r\n\
a=sctp-port:5000\r\n";

#[test]
fn an_offer_of_chromium_is_understood() {
    let remote = read(CHROMIUM).expect("good SDP");
    assert_eq!(remote.ufrag, "4ZcD");
    assert_eq!(remote.fingerprint.0[..2], [0x49, 0x66]);
    let [audio, video, data] = &remote.media[..] else {
        panic!("three m-lines");
    };
    assert_eq!(
        (audio.mid.as_str(), audio.kind),
        ("0", Some(MediaKind::Audio))
    );
    assert_eq!(
        audio.direction,
        Direction {
            sends: true,
            receives: false
        }
    );
    assert_eq!(audio.encodings, [encoding(None, Some(1409), None)]);
    assert_eq!(audio.formats.len(), 2, "Opus and RED, not G.722");
    assert!(!audio.formats[0].nack);
    assert_eq!(video.encodings, [encoding(None, Some(2231), Some(3313))]);
    assert!(video.formats[0].nack);
    let codecs: Vec<_> = video
        .formats
        .iter()
        .map(|f| (f.codec, f.payload_type, f.retransmission))
        .collect();
    assert_eq!(
        codecs,
        [
            (Codec::Vp8, 96, Some(97)),
            (Codec::H264Baseline, 103, Some(104)),
            (Codec::Av1, 45, Some(46)),
        ]
    );
    assert_eq!((data.kind, data.protocol.as_str()), (None, "UDP/DTLS/SCTP"));
    let kinds = [audio, video].map(|media| KindFormats {
        formats: media.formats.clone(),
        extensions: media.extensions.clone(),
    });
    let numbering = numbering(&kinds);
    assert_eq!(
        numbering.payload_types.payload(104),
        Some(Payload::Retransmission(Codec::H264Baseline))
    );
    assert_eq!(
        numbering.extensions.id(Extension::VideoOrientation),
        Some(13)
    );
}

#[test]
fn a_fault_says_what_and_what_is_allowed() {
    let table = [
        ("v=1\r\n".to_owned(), "the SDP cannot be read"),
        (
            CHROMIUM.replace("a=ice-ufrag:4ZcD\r\n", ""),
            "lacks `ice-ufrag`",
        ),
        (CHROMIUM.replace("a=mid:1\r\n", ""), "lacks `mid`"),
        (
            CHROMIUM.replace("sha-256", "sha-1"),
            "allowed: sha-256 and 32 bytes",
        ),
        (
            CHROMIUM.replace("a=mid:1\r\n", "a=mid:one-that-is-far-too-long\r\n"),
            "allowed: 1 to 16",
        ),
    ];
    for (text, said) in table {
        let error = read(&text).expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn what_is_written_is_read_back() {
    let remote = read(CHROMIUM).expect("good SDP");
    let formats = |index: usize| KindFormats {
        formats: remote.media[index].formats.clone(),
        extensions: remote.media[index].extensions.clone(),
    };
    let (audio, video) = (formats(0), formats(1));
    let stream = SendStream {
        ssrc: 77,
        retransmission_ssrc: Some(78),
        stream: "pt_publisher".to_owned(),
        track: "tr_camera".to_owned(),
    };
    let credentials = LocalCredentials::from_random(&[9; 30]);
    let description = |offer| {
        Description {
            session: 5,
            version: 2,
            offer,
            transport: Transport {
                credentials: &credentials,
                fingerprint: Fingerprint([7; 32]),
                udp: &[
                    "192.0.2.1:7411".parse().expect("an address"),
                    "[2001:db8::1]:7411".parse().expect("an address"),
                ],
                tcp: &["192.0.2.1:7415".parse().expect("an address")],
            },
            media: vec![
                (
                    "0",
                    LocalMedia::Active {
                        kind: MediaKind::Audio,
                        formats: &audio,
                        receives: true,
                        rids: &[],
                        sends: None,
                    },
                ),
                (
                    "2",
                    LocalMedia::Rejected {
                        name: "application",
                        protocol: "UDP/DTLS/SCTP",
                    },
                ),
                (
                    "s0",
                    LocalMedia::Active {
                        kind: MediaKind::Video,
                        formats: &video,
                        receives: false,
                        rids: &[],
                        sends: Some(&stream),
                    },
                ),
            ],
        }
        .text()
    };
    let offer = description(true);
    let read = read(&offer).expect("our own SDP");
    assert_eq!(read.ufrag, credentials.ufrag);
    assert_eq!(
        read.media[0].direction,
        Direction {
            sends: false,
            receives: true
        }
    );
    assert_eq!(read.media[0].formats, audio.formats);
    assert!(read.media[1].rejected);
    assert_eq!(read.media[2].formats, video.formats);
    assert_eq!(read.media[2].extensions, video.extensions);
    assert_eq!(
        read.media[2].encodings,
        [encoding(None, Some(77), Some(78))]
    );
    for line in [
        "a=ice-lite",
        "a=group:BUNDLE 0 s0",
        "a=setup:actpass",
        "a=candidate:1 1 udp 2130706431 192.0.2.1 7411 typ host",
        "a=candidate:2 1 udp 2130706175 2001:db8::1 7411 typ host",
        "a=candidate:101 1 tcp 2118123519 192.0.2.1 7415 typ host tcptype passive",
        "a=msid:pt_publisher tr_camera",
    ] {
        assert!(offer.contains(&format!("{line}\r\n")), "{line} in\n{offer}");
    }
    assert!(
        description(false).contains("a=setup:passive\r\n"),
        "the client is active"
    );
}

#[test]
fn what_has_no_common_format_is_turned_down() {
    let credentials = LocalCredentials::from_random(&[9; 30]);
    let nothing = KindFormats::default();
    let text = Description {
        session: 5,
        version: 2,
        offer: false,
        transport: Transport {
            credentials: &credentials,
            fingerprint: Fingerprint([7; 32]),
            udp: &[],
            tcp: &[],
        },
        media: ["0", "1"]
            .map(|mid| {
                let local = match mid {
                    "0" => LocalMedia::Data,
                    _ => LocalMedia::Active {
                        kind: MediaKind::Video,
                        formats: &nothing,
                        receives: true,
                        rids: &[],
                        sends: None,
                    },
                };
                (mid, local)
            })
            .into(),
    }
    .text();
    let read = read(&text).expect("our own SDP");
    assert!(!read.media[0].rejected && read.media[1].rejected);
    assert_eq!(read.media[1].kind, Some(MediaKind::Video));
    assert!(text.contains("a=group:BUNDLE 0\r\n"), "{text}");
}

fn encoding(rid: Option<&str>, ssrc: Option<u32>, repair: Option<u32>) -> AnnouncedEncoding {
    AnnouncedEncoding {
        rid: rid.map(|rid| rid.as_bytes().into()),
        ssrc,
        retransmission_ssrc: repair,
    }
}

/// The m-line that `CHROMIUM` ends with, sent otherwise.
fn with_lines(lines: &str) -> Vec<AnnouncedEncoding> {
    let offer = CHROMIUM.replace("a=sendrecv\r\n", &format!("a=sendrecv\r\n{lines}"));
    read(&offer).expect("readable").media[1].encodings.clone()
}

#[test]
fn simulcast_is_told_by_rids_or_ssrc_groups() {
    let rids =
        with_lines("a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\na=simulcast:send q;~h,x;f\r\n");
    assert_eq!(
        rids,
        ["q", "h", "f"].map(|rid| encoding(Some(rid), None, None))
    );
    let groups = with_lines(
        "a=ssrc-group:SIM 1 2 3\r\na=ssrc-group:FID 1 11\r\na=ssrc-group:FID 2 12\r\na=ssrc-group:FID 3 13\r\n",
    );
    assert_eq!(
        groups,
        [1, 2, 3].map(|n| encoding(None, Some(n), Some(n + 10)))
    );
}

#[test]
fn a_number_that_stands_for_two_things_stands_for_one() {
    let with = |from: &str, to: &str| {
        let offer = CHROMIUM.replace(from, to);
        read(&offer).expect("readable").media[1].clone()
    };
    let repairs = |media: &RemoteMedia| -> Vec<_> {
        media.formats.iter().map(|f| f.retransmission).collect()
    };
    let media = with("a=fmtp:97 apt=96", "a=fmtp:45 apt=96");
    assert_eq!(repairs(&media), [None, Some(104), Some(46)], "AV1's");
    let media = with("a=fmtp:104 apt=103", "a=fmtp:97 apt=103");
    assert_eq!(repairs(&media), [Some(97), None, Some(46)], "VP8's already");
    let media = with("97 rtx/90000\r\na=fmtp:97", "197 rtx/90000\r\na=fmtp:197");
    assert_eq!(repairs(&media), [None, Some(104), Some(46)], "seven bits");
    let media = with(
        "a=extmap:13 urn:3gpp:video-orientation\r\n",
        "a=extmap:3 urn:3gpp:video-orientation\r\n\
         a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
         a=extmap:15 http://www.webrtc.org/experiments/rtp-hdrext/color-space\r\n",
    );
    let extensions = [(Extension::TransportCc, 3), (Extension::Mid, 4)];
    assert_eq!(media.extensions, extensions);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(v=0\r\n|o=- 1 1 IN IP4 0\r\n|s=-\r\n|t=0 0\r\n|m=video 9 UDP/TLS/RTP/SAVPF 96\r\n|a=[a-z-]{1,12}:[ -~]{0,20}\r\n|[ -~]{0,20}\r\n){0,20}") {
        let _ = read(&text);
    }
}
