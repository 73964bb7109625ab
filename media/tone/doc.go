// Package tone is the measuring desk for audio: it makes tones, finds them again, and reads and writes WAV files.
//
// It does: sines, spectral purity, the dominant frequency, level, the first sound; 16-bit mono WAV.
//
// It does not: anything in a live call. Simulated phones, the demo and tests use it.
package tone
