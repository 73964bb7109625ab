// Hands on what is heard, 100 ms of 16-bit samples at a time.

registerProcessor('heard', class extends AudioWorkletProcessor {
  #block = new Int16Array(sampleRate / 10);
  #filled = 0;

  process([[samples]]) {
    for (const s of samples ?? []) {
      this.#block[this.#filled++] = Math.max(-1, Math.min(1, s)) * 32767;
      if (this.#filled === this.#block.length) {
        this.port.postMessage(this.#block.slice());
        this.#filled = 0;
      }
    }
    return true;
  }
});
