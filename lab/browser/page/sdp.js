// Between the browser's session descriptions and the JSON of the calls. A call has one audio section, sent and received, and
// one of the data channel.

const lines = sdp => sdp.split(/\r?\n/);
const values = (section, name) => section.filter(l => l.startsWith(name)).map(l => l.slice(name.length));

// audioOf returns the lines of the audio section.
function audioOf(sdp) {
  const all = lines(sdp);
  const from = all.findIndex(l => l.startsWith('m=audio'));
  const to = all.findIndex((l, i) => i > from && l.startsWith('m='));
  return all.slice(from, to < 0 ? all.length : to);
}

// setupOf makes the InitialSetup that a local description stands for.
export function setupOf(sdp) {
  const all = lines(sdp);
  const [hash, fingerprint] = values(all, 'a=fingerprint:')[0].split(' ');
  return {
    '@type': 'InitialSetup', ufrag: values(all, 'a=ice-ufrag:')[0], pwd: values(all, 'a=ice-pwd:')[0], renomination: false,
    fingerprints: [{ hash, setup: values(all, 'a=setup:')[0], fingerprint }],
  };
}

// contentOf makes the content of what a local description sends; null when it sends no audio.
export function contentOf(sdp) {
  const section = audioOf(sdp);
  const ssrc = values(section, 'a=ssrc:')[0]?.split(' ')[0];
  if (!ssrc) return null;
  const fmtp = new Map(values(section, 'a=fmtp:').map(l => l.split(/ (.*)/, 2)));
  return {
    type: 'audio', ssrc, ssrcGroups: [],
    payloadTypes: values(section, 'a=rtpmap:').map(l => {
      const [id, codec] = l.split(' ');
      const [name, clockrate, channels] = codec.split('/');
      return {
        id: +id, name, clockrate: +clockrate, channels: +(channels ?? 1), feedbackTypes: values(section, `a=rtcp-fb:${id} `).map(f => {
          const [type, subtype = ''] = f.split(/ (.*)/, 2);
          return { type, subtype };
        }),
        parameters: Object.fromEntries((fmtp.get(id) ?? '').split(';').filter(p => p.includes('=')).map(p => p.trim().split(/=(.*)/, 2))),
      };
    }),
    rtpExtensions: values(section, 'a=extmap:').map(l => {
      const [id, uri] = l.split(' ');
      return { id: parseInt(id), uri };
    }),
  };
}

// describe makes the remote description of what the peer has sent: its InitialSetup, and the content it offers or
// answers with. An offer tells the ssrc the peer sends with; an answer does not.
export function describe(setup, content, offers, codecs = content.payloadTypes) {
  const transport = [
    'c=IN IP4 0.0.0.0', `a=ice-ufrag:${setup.ufrag}`, `a=ice-pwd:${setup.pwd}`, 'a=ice-options:trickle',
    ...setup.fingerprints.map(f => `a=fingerprint:${f.hash} ${f.fingerprint}`), `a=setup:${setup.fingerprints[0].setup}`,
  ];
  const audio = codecs.flatMap(p => [
    `a=rtpmap:${p.id} ${p.name}/${p.clockrate}${p.channels > 1 ? '/' + p.channels : ''}`,
    ...(p.feedbackTypes ?? []).map(f => `a=rtcp-fb:${p.id} ${f.type} ${f.subtype ?? ''}`.trimEnd()),
    ...(Object.keys(p.parameters ?? {}).length ? [`a=fmtp:${p.id} ` + Object.entries(p.parameters).map(([k, v]) => `${k}=${v}`).join(';')] : []),
  ]);
  return [
    'v=0', `o=- ${Date.now()} 2 IN IP4 127.0.0.1`, 's=-', 't=0 0', 'a=group:BUNDLE 0 1', 'a=msid-semantic: WMS *',
    `m=audio 9 UDP/TLS/RTP/SAVPF ${codecs.map(p => p.id).join(' ')}`, ...transport,
    'a=mid:0', `a=${offers ? 'sendrecv' : 'recvonly'}`, 'a=rtcp-mux', ...audio,
    ...(content.rtpExtensions ?? []).map(e => `a=extmap:${e.id} ${e.uri}`),
    ...(offers ? [`a=ssrc:${content.ssrc} cname:peer`, `a=ssrc:${content.ssrc} msid:peer audio`] : []),
    'm=application 9 UDP/DTLS/SCTP webrtc-datachannel', ...transport, 'a=mid:1', 'a=sctp-port:5000', 'a=max-message-size:262144', '',
  ].join('\r\n');
}
