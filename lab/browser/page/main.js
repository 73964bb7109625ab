// The page's wires: orders of the test come as events of /orders, what happens goes to /told, what is heard to /heard.

import { Call } from './call.js';
import { Cipher, gunzip, gzip, hex, unhex } from './cipher.js';
import { SCTP } from './sctp.js';

// inOrder runs asynchronous work one piece after the other; what fails is told and does not stop the rest.
function inOrder() {
  let last = Promise.resolve();
  return work => { last = last.then(work).catch(e => tell({ kind: 'refused', reason: String(e) })); };
}

const posts = inOrder();
const tell = event => posts(() => fetch('told', { method: 'POST', body: JSON.stringify(event) }));

// microphone is an oscillator, which opens after a while as a real one does. It is asked for as a real one is, because
// Chromium shows its network interfaces only to pages that may use the microphone.
async function microphone(audio, hz, after) {
  await navigator.mediaDevices.getUserMedia({ audio: true });
  const tone = new OscillatorNode(audio, { frequency: hz });
  const out = new MediaStreamAudioDestinationNode(audio, { channelCount: 1 });
  tone.connect(new GainNode(audio, { gain: 0.25 })).connect(out);
  tone.start();
  await new Promise(resolve => setTimeout(resolve, after));
  return out.stream;
}

// listen records a remote stream, which Chromium decodes only while an element plays it.
function listen(audio, stream) {
  const element = new Audio();
  element.srcObject = stream;
  element.muted = true;
  element.play();
  const recorder = new AudioWorkletNode(audio, 'heard');
  const up = inOrder();
  recorder.port.onmessage = ({ data }) => up(() => fetch('heard', { method: 'POST', body: data }));
  audio.createMediaStreamSource(stream).connect(recorder).connect(audio.destination);
}

async function begin({ role, key, p2p, servers, tone, microphone_ms }) {
  const audio = new AudioContext({ sampleRate: 48000 });
  await audio.audioWorklet.addModule('heard.js');
  const caller = role === 'caller';
  const cipher = new Cipher(unhex(key), caller);
  const [sealing, opening] = [inOrder(), inOrder()];
  const refuse = reason => tell({ kind: 'refused', reason });
  const sctp = new SCTP(
    packet => tell({ kind: 'signaling', packet: hex(packet) }),
    message => opening(async () => {
      const m = JSON.parse(new TextDecoder().decode(await gunzip(await cipher.open(message))));
      tell({ kind: 'got', message: m });
      await call.take(m);
    }),
    refuse,
  );
  const call = new Call({
    caller, p2p, servers, tell,
    send: m => sealing(async () => sctp.send(await cipher.seal(await gzip(new TextEncoder().encode(JSON.stringify(m)))))),
    heard: stream => listen(audio, stream),
  });
  microphone(audio, tone, microphone_ms).then(stream => {
    tell({ kind: 'microphone' });
    opening(() => call.open(stream));
  });
  return { sctp, call };
}

let current;
const work = inOrder();
const orders = new EventSource('orders');
orders.onmessage = ({ data }) => work(async () => {
  const order = JSON.parse(data);
  switch (order.order) {
    case 'begin': current = await begin(order); return;
    case 'signaling': return current.sctp.receive(unhex(order.packet));
    case 'mute': return current.call.mute(order.muted);
    case 'leave': return current.call.leave();
    case 'route': return tell({ kind: 'route', route: await current.call.route() });
  }
});
window.onerror = message => tell({ kind: 'refused', reason: message });
tell({ kind: 'ready' });
