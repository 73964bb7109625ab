// SCTP as the web engines have it: no timers, no retransmission, one chunk in a packet, one SACK for each DATA. INIT goes
// again only with a new message, and an INIT or INIT ACK that comes late sets the expected TSN back.

const DATA = 0, INIT = 1, INIT_ACK = 2, SACK = 3, HEARTBEAT = 4, HEARTBEAT_ACK = 5, ABORT = 6, COOKIE_ECHO = 10, COOKIE_ACK = 11;
const PORT = 5000, PPID = 53;

const table = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let i = 0; i < 8; i++) n = n & 1 ? (n >>> 1) ^ 0x82f63b78 : n >>> 1;
  return n >>> 0;
});

// crc32c of a packet with its checksum field taken as zero.
function crc32c(packet) {
  let sum = 0xffffffff;
  packet.forEach((b, i) => { sum = table[(sum ^ (i >= 8 && i < 12 ? 0 : b)) & 0xff] ^ (sum >>> 8); });
  return ~sum >>> 0;
}

const view = bytes => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const random32 = () => crypto.getRandomValues(new Uint32Array(1))[0] || 1;

// chunk makes one of a type, flags and a body.
function chunk(type, flags, body) {
  const c = new Uint8Array(4 + body.length);
  c[0] = type;
  c[1] = flags;
  view(c).setUint16(2, c.length);
  c.set(body, 4);
  return c;
}

export class SCTP {
  #tag = random32(); #tsn = random32(); #ssn = 0;
  #peerTag = 0; #expected = 0; #early = new Map();
  #up = false; #initAt = 0; #tries = 0; #cookie = ''; #queue = [];
  #transmit; #deliver; #refuse;

  // transmit takes a packet, deliver a message, refuse the reason why something was dropped.
  constructor(transmit, deliver, refuse) {
    this.#transmit = transmit;
    this.#deliver = deliver;
    this.#refuse = refuse;
  }

  send(message) {
    this.#queue.push(message);
    if (this.#up) return this.#flush();
    const patience = Math.min(1000 * 2 ** Math.max(this.#tries - 1, 0), 8000);
    if (this.#initAt === 0 || this.#peerTag === 0 && Date.now() - this.#initAt >= patience) {
      this.#initAt = Date.now();
      this.#tries++;
      this.#emit(0, chunk(INIT, 0, this.#init()));
    }
  }

  receive(packet) {
    if (packet.length < 16) return this.#refuse('packet is too short');
    const v = view(packet);
    if (v.getUint16(0) !== PORT || v.getUint16(2) !== PORT) return this.#refuse('wrong port');
    if (v.getUint32(8, true) !== crc32c(packet)) return this.#refuse('wrong checksum');
    const tag = v.getUint32(4);
    for (let at = 12; at + 4 <= packet.length;) {
      const size = v.getUint16(at + 2);
      if (size < 4 || at + size > packet.length) return this.#refuse('broken chunk');
      const type = packet[at];
      const init = type === INIT;
      if (init && (tag !== 0 || at !== 12 || packet.length >= 12 + size + 4)) return this.#refuse('INIT with a tag or not alone');
      if (!init && tag !== this.#tag) return this.#refuse('wrong verification tag');
      this.#take(type, packet[at + 1], packet.slice(at + 4, at + size));
      at += size + (-size & 3);
    }
  }

  #init() {
    const body = new Uint8Array(16);
    const v = view(body);
    v.setUint32(0, this.#tag);
    v.setUint32(4, 0x500000);
    v.setUint32(8, 0xffffffff);
    v.setUint32(12, this.#tsn);
    return body;
  }

  #emit(tag, c) {
    const packet = new Uint8Array(12 + c.length + (-c.length & 3));
    const v = view(packet);
    v.setUint16(0, PORT);
    v.setUint16(2, PORT);
    v.setUint32(4, tag);
    packet.set(c, 12);
    v.setUint32(8, crc32c(packet), true);
    this.#transmit(packet);
  }

  #flush() {
    for (const message of this.#queue.splice(0)) {
      const body = new Uint8Array(12 + message.length);
      const v = view(body);
      v.setUint32(0, this.#tsn);
      v.setUint16(6, this.#ssn);
      v.setUint32(8, PPID);
      body.set(message, 12);
      this.#emit(this.#peerTag, chunk(DATA, 3, body));
      this.#tsn = this.#tsn + 1 >>> 0;
      this.#ssn = this.#ssn + 1 & 0xffff;
    }
  }

  #open() {
    this.#up = true;
    this.#flush();
  }

  // meet takes what INIT or INIT ACK says of the other side, at any time.
  #meet(body) {
    this.#peerTag = view(body).getUint32(0);
    this.#expected = view(body).getUint32(12);
  }

  #take(type, flags, body) {
    switch (type) {
      case INIT: {
        if (this.#up) this.#refuse('INIT of an association that is up'); // and yet it is taken
        this.#meet(body);
        this.#initAt ||= Date.now();
        const cookie = crypto.getRandomValues(new Uint8Array(16));
        this.#cookie = cookie.join();
        const ack = new Uint8Array(36);
        ack.set(this.#init());
        ack.set([0, 7, 0, 20], 16);
        ack.set(cookie, 20);
        return this.#emit(this.#peerTag, chunk(INIT_ACK, 0, ack));
      }
      case INIT_ACK: {
        if (this.#up) this.#refuse('INIT ACK of an association that is up');
        this.#meet(body);
        for (let at = 16; at + 4 <= body.length;) {
          const size = view(body).getUint16(at + 2);
          if (size < 4) break;
          if (view(body).getUint16(at) === 7) this.#emit(this.#peerTag, chunk(COOKIE_ECHO, 0, body.slice(at + 4, at + size)));
          at += size + (-size & 3);
        }
        return;
      }
      case COOKIE_ECHO:
        if (body.join() !== this.#cookie) return; // of an INIT before the last one: more may have waited for the page
        this.#emit(this.#peerTag, chunk(COOKIE_ACK, 0, new Uint8Array(0)));
        return this.#open();
      case COOKIE_ACK:
      case SACK:
        return this.#open();
      case HEARTBEAT:
        return this.#emit(this.#peerTag, chunk(HEARTBEAT_ACK, 0, body));
      case ABORT:
        return this.#refuse('ABORT');
      case DATA:
        return this.#data(flags, body);
    }
  }

  #data(flags, body) {
    const v = view(body);
    const tsn = v.getUint32(0);
    if (v.getUint16(4) !== 0 || v.getUint32(8) !== PPID) return this.#refuse('DATA of another stream or protocol');
    if ((flags & 3) !== 3) return this.#refuse('fragment'); // the engines join them, this page has no need to
    if ((tsn - this.#expected | 0) >= 0) this.#early.set(tsn, body.slice(12));
    for (let next; (next = this.#early.get(this.#expected));) {
      this.#early.delete(this.#expected);
      this.#expected = this.#expected + 1 >>> 0;
      this.#open();
      this.#deliver(next);
    }
    const sack = new Uint8Array(12);
    view(sack).setUint32(0, this.#expected - 1 >>> 0);
    view(sack).setUint32(4, 0x500000);
    this.#emit(this.#peerTag, chunk(SACK, 0, sack));
  }
}
