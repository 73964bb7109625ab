// The encryption of signalling packets, by the browser's own cryptography.

const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest('SHA-256', join(...parts)));

export function join(...parts) {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

export const unhex = text => Uint8Array.from(text.match(/../g) ?? [], pair => parseInt(pair, 16));
export const hex = bytes => Array.from(bytes, b => b.toString(16).padStart(2, '0')).join('');

async function pipe(bytes, through) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(through)).arrayBuffer());
}

export const gzip = bytes => pipe(bytes, new CompressionStream('gzip'));

// gunzip inflates what begins like gzip and leaves the rest alone.
export async function gunzip(bytes) {
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? pipe(bytes, new DecompressionStream('gzip')) : bytes;
}

// Cipher encrypts what one side of a call sends and decrypts what the other one does.
export class Cipher {
  #key; #send; #receive;
  #counter = 0;
  #largest = 0;
  #seen = new Set();

  constructor(key, caller) {
    this.#key = key;
    this.#send = caller ? 128 : 136;
    this.#receive = caller ? 136 : 128;
  }

  async #stream(x, messageKey, data) {
    const k = this.#key;
    const a = await sha256(messageKey, k.subarray(x, x + 36));
    const b = await sha256(k.subarray(40 + x, 76 + x), messageKey);
    const key = join(a.subarray(0, 8), b.subarray(8, 24), a.subarray(24, 32));
    const counter = join(b.subarray(0, 4), a.subarray(8, 16), b.subarray(24, 28));
    const aes = await crypto.subtle.importKey('raw', key, 'AES-CTR', false, ['encrypt']);
    return new Uint8Array(await crypto.subtle.encrypt({ name: 'AES-CTR', counter, length: 128 }, aes, data));
  }

  async #messageKey(x, plain) {
    return (await sha256(this.#key.subarray(88 + x, 120 + x), plain)).subarray(8, 24);
  }

  async seal(body) {
    const seq = new Uint8Array(4);
    new DataView(seq.buffer).setUint32(0, ++this.#counter);
    const plain = join(seq, body);
    const messageKey = await this.#messageKey(this.#send, plain);
    return join(messageKey, await this.#stream(this.#send, messageKey, plain));
  }

  // open throws a text that says what is wrong.
  async open(packet) {
    if (packet.length < 21) throw 'packet is too short';
    const messageKey = packet.subarray(0, 16);
    const plain = await this.#stream(this.#receive, messageKey, packet.subarray(16));
    if (hex(await this.#messageKey(this.#receive, plain)) !== hex(messageKey)) throw 'message key does not match';
    const seq = new DataView(plain.buffer).getUint32(0);
    if (seq === 0 || seq <= this.#largest - 64 || this.#seen.has(seq)) throw `replay of ${seq}`;
    this.#seen.add(seq);
    this.#largest = Math.max(this.#largest, seq);
    return plain.subarray(4);
  }
}
