// One call as the web clients carry it, with their order of messages, their strictness and their weaknesses.

import { contentOf, describe, setupOf } from './sdp.js';

const literal = /^(\d+\.){3}\d+$|:/;

export class Call {
  #pc; #caller; #send; #tell;
  #setup = null;       // the peer's InitialSetup
  #offer = null;       // the peer's first offer, until it has been answered; of a caller the one that waits
  #exchange = '';      // of our own offer
  #answered = false;   // our own offer was
  #began = false;      // a callee has answered
  #microphone = null;  // the open one
  #candidates = [];    // of the peer, until there is a remote description
  #local = [];         // ours, until InitialSetup has left
  #introduced = false; // InitialSetup has left
  #channel = null;
  #muted = false;

  // send takes a message, tell an event for the test, heard the stream of the peer.
  constructor({ caller, p2p, servers, send, tell, heard }) {
    this.#caller = caller;
    this.#send = send;
    this.#tell = tell;
    const pc = this.#pc = new RTCPeerConnection({
      iceServers: servers, iceTransportPolicy: p2p ? 'all' : 'relay', bundlePolicy: 'max-bundle', rtcpMuxPolicy: 'require',
    });
    pc.onicecandidate = ({ candidate }) => {
      if (!candidate?.candidate) return;
      this.#local.push(candidate);
      this.#sendCandidates();
    };
    pc.onconnectionstatechange = () => tell({ kind: 'state', state: pc.connectionState });
    pc.ontrack = ({ track }) => heard(new MediaStream([track]));
    pc.ondatachannel = ({ channel }) => this.#talk(channel);
  }

  // open is called when the microphone is there: only then does a caller begin.
  async open(stream) {
    this.#microphone = stream;
    if (!this.#caller) return;
    this.#pc.addTrack(stream.getAudioTracks()[0], stream);
    this.#talk(this.#pc.createDataChannel('data'));
    await this.#pc.setLocalDescription(await this.#pc.createOffer());
    this.#introduce();
    this.#offerOurs();
    this.#sendCandidates();
  }

  // mute sends silence and says so.
  mute(muted) {
    this.#muted = muted;
    this.#microphone.getAudioTracks()[0].enabled = !muted;
    this.#tellState();
  }

  leave() { this.#pc.close(); }

  // route says which candidates carry the call.
  async route() {
    const stats = await this.#pc.getStats();
    const pair = [...stats.values()].find(s => s.type === 'candidate-pair' && s.state === 'succeeded' && s.nominated);
    const transport = [...stats.values()].find(s => s.type === 'transport');
    return {
      local: stats.get(pair?.localCandidateId)?.candidateType, remote: stats.get(pair?.remoteCandidateId)?.candidateType,
      dtls: transport?.tlsVersion, role: transport?.dtlsRole, srtp: transport?.srtpCipher,
    };
  }

  async take(m) {
    switch (m['@type']) {
      case 'InitialSetup': return this.#takeSetup(m);
      case 'NegotiateChannels': return this.#takeNegotiate(m);
      case 'Candidates': return this.#takeCandidates(m);
      case 'MediaState': return this.#tell({ kind: 'media', muted: m.muted });
    }
    this.#refuse('message of type ' + m['@type']);
  }

  #refuse(reason) { this.#tell({ kind: 'refused', reason }); }

  async #takeSetup(m) {
    const [print] = m.fingerprints ?? [];
    if (!(m.ufrag?.length >= 4 && m.pwd?.length >= 22 && ['actpass', 'active', 'passive'].includes(print?.setup))) {
      return this.#refuse('InitialSetup ' + JSON.stringify(m));
    }
    if (this.#setup && this.#setup.ufrag !== m.ufrag) return this.#refuse('InitialSetup with new credentials');
    this.#setup = m;
    return this.#proceed();
  }

  async #takeNegotiate(m) {
    const audio = m.contents?.find(c => c.type === 'audio');
    if (typeof m.exchangeId !== 'string' || m.contents.length === 0 || audio && !/^\d+$/.test(audio.ssrc)) {
      return this.#refuse('NegotiateChannels ' + JSON.stringify(m));
    }
    if (this.#exchange && m.exchangeId === this.#exchange) return this.#takeAnswer(audio);
    if (!audio?.payloadTypes?.length) return this.#refuse('offer without audio');
    if (this.#began) return this.#refuse('second offer');
    this.#offer = m;
    return this.#proceed();
  }

  async #takeAnswer(audio) {
    if (this.#answered) return this.#refuse('second answer');
    this.#answered = true;
    this.#tell({ kind: 'answered', echoed: String(contentOf(this.#pc.localDescription.sdp)?.ssrc) === audio?.ssrc });
    if (this.#caller) {
      if (!this.#setup) return this.#refuse('answer before InitialSetup');
      await this.#pc.setRemoteDescription({ type: 'answer', sdp: describe(this.#setup, audio, false) });
      await this.#addCandidates();
    }
    return this.#proceed();
  }

  // proceed answers the peer's offer when its time has come: a callee's needs InitialSetup, a caller's its own offer
  // answered.
  async #proceed() {
    if (!this.#offer || !this.#setup || this.#caller && !this.#answered) return;
    const m = this.#offer;
    this.#offer = null;
    this.#began = !this.#caller;
    const audio = m.contents.find(c => c.type === 'audio');
    await this.#pc.setRemoteDescription({ type: 'offer', sdp: describe(this.#setup, audio, true) });
    // A callee whose microphone is not open by now never sends a thing.
    if (!this.#caller && this.#microphone) this.#pc.addTrack(this.#microphone.getAudioTracks()[0], this.#microphone);
    await this.#pc.setLocalDescription(await this.#pc.createAnswer());
    await this.#addCandidates();
    this.#introduce(); // a caller once more: now its role in DTLS is known
    this.#transmit({ '@type': 'NegotiateChannels', exchangeId: m.exchangeId, contents: [audio] });
    if (!this.#caller) this.#offerOurs();
    this.#sendCandidates();
  }

  #transmit(m) {
    this.#tell({ kind: 'sent', message: m });
    this.#send(m);
  }

  #introduce() {
    this.#transmit(setupOf(this.#pc.localDescription.sdp));
    this.#introduced = true;
  }

  #offerOurs() {
    const content = contentOf(this.#pc.localDescription.sdp);
    if (!content) return this.#tell({ kind: 'silent' });
    this.#exchange = String(crypto.getRandomValues(new Uint32Array(1))[0]);
    this.#transmit({ '@type': 'NegotiateChannels', exchangeId: this.#exchange, contents: [content] });
  }

  #sendCandidates() {
    if (!this.#introduced) return;
    for (const c of this.#local.splice(0)) {
      this.#transmit({
        '@type': 'Candidates', exchangeId: this.#exchange, ufrag: c.usernameFragment, candidates: [
          { sdpString: c.candidate, sdpMid: c.sdpMid, sdpMLineIndex: c.sdpMLineIndex, usernameFragment: c.usernameFragment },
        ],
      });
    }
  }

  async #takeCandidates(m) {
    for (const c of m.candidates) {
      const [, component, , , address] = c.sdpString.split(' ');
      if (!/^(a=)?candidate:/.test(c.sdpString) || component !== '1' || !literal.test(address)) {
        this.#refuse('candidate ' + JSON.stringify(m));
      } else {
        this.#candidates.push(c.sdpString);
      }
    }
    return this.#addCandidates();
  }

  async #addCandidates() {
    if (!this.#pc.remoteDescription) return;
    for (const candidate of this.#candidates.splice(0)) await this.#pc.addIceCandidate({ candidate, sdpMLineIndex: 0 });
  }

  #talk(channel) {
    this.#channel = channel;
    channel.onopen = () => {
      this.#tell({ kind: 'channel', id: channel.id, label: channel.label });
      this.#tellState();
    };
    channel.onmessage = ({ data }) => this.take(JSON.parse(data));
  }

  #tellState() {
    if (this.#channel?.readyState !== 'open') return;
    this.#channel.send(JSON.stringify({
      '@type': 'MediaState', muted: this.#muted, lowBattery: false, videoState: 'inactive', videoRotation: 0, screencastState: 'inactive',
    }));
  }
}
