package media

import (
	"encoding/binary"
	"math/bits"
)

// The G.711 tables (ITU-T G.711, tables 1 and 2, scaled to 16 bit as every implementation does: a µ-law sample has
// 14 significant bits, an A-law sample 13). Encoding looks 16-bit samples up whole: it is several times faster
// than arithmetic, and a 14-bit table would round differently at the segments' edges.
var (
	ulawToLinear = expandLaw(expandULaw)
	alawToLinear = expandLaw(expandALaw)
	linearToULaw = compressLaw(compressULaw)
	linearToALaw = compressLaw(compressALaw)
	ulawToALaw   = crossLaw(ulawToLinear, linearToALaw)
	alawToULaw   = crossLaw(alawToLinear, linearToULaw)
)

// EncodeULaw writes the µ-law code of every sample to out, which must be as long as pcm.
func EncodeULaw(out []byte, pcm []int16) { compress(linearToULaw, out, pcm) }

// EncodeALaw writes the A-law code of every sample to out, which must be as long as pcm.
func EncodeALaw(out []byte, pcm []int16) { compress(linearToALaw, out, pcm) }

// DecodeULaw writes the sample of every µ-law code to pcm, which must be as long as codes.
func DecodeULaw(pcm []int16, codes []byte) { expand(ulawToLinear, pcm, codes) }

// DecodeALaw writes the sample of every A-law code to pcm, which must be as long as codes.
func DecodeALaw(pcm []int16, codes []byte) { expand(alawToLinear, pcm, codes) }

// EncodeL16 writes the samples in network byte order (RFC 3551 §4.5.11) to out, which must be twice as long as pcm.
func EncodeL16(out []byte, pcm []int16) {
	out = out[:2*len(pcm)]
	for i, s := range pcm {
		binary.BigEndian.PutUint16(out[2*i:], uint16(s))
	}
}

// DecodeL16 reads samples in network byte order into pcm, which must be half as long as b.
func DecodeL16(pcm []int16, b []byte) {
	pcm = pcm[:len(b)/2]
	for i := range pcm {
		pcm[i] = int16(binary.BigEndian.Uint16(b[2*i:]))
	}
}

func compress(table *[65536]byte, out []byte, pcm []int16) {
	out = out[:len(pcm)]
	for i, s := range pcm {
		out[i] = table[uint16(s)]
	}
}

func expand(table *[256]int16, pcm []int16, codes []byte) {
	pcm = pcm[:len(codes)]
	for i, c := range codes {
		pcm[i] = table[c]
	}
}

func expandLaw(f func(byte) int16) *[256]int16 {
	var t [256]int16
	for i := range t {
		t[i] = f(byte(i))
	}
	return &t
}

func compressLaw(f func(int16) byte) *[65536]byte {
	var t [65536]byte
	for i := range t {
		t[i] = f(int16(uint16(i)))
	}
	return &t
}

// crossLaw recodes one law into the other through 16-bit samples.
func crossLaw(from *[256]int16, to *[65536]byte) *[256]byte {
	var t [256]byte
	for i := range t {
		t[i] = to[uint16(from[i])]
	}
	return &t
}

const (
	ulawBias = 0x84 // makes every segment's width a power of two
	ulawClip = 32635
)

func expandULaw(code byte) int16 {
	code = ^code
	magnitude := (int(code&0x0f)<<3+ulawBias)<<(code>>4&7) - ulawBias
	if code&0x80 != 0 {
		magnitude = -magnitude
	}
	return int16(magnitude)
}

func compressULaw(sample int16) byte {
	magnitude, sign := int(sample), byte(0)
	if magnitude < 0 {
		magnitude, sign = -magnitude, 0x80
	}
	magnitude = min(magnitude, ulawClip) + ulawBias
	segment := bits.Len(uint(magnitude)) - 8
	return ^(sign | byte(segment)<<4 | byte(magnitude>>(segment+3)&0x0f))
}

const alawEvenBits = 0x55 // the law inverts every second bit on the wire

func expandALaw(code byte) int16 {
	code ^= alawEvenBits
	magnitude, segment := int(code&0x0f)<<4+8, code>>4&7
	if segment > 0 {
		magnitude = (magnitude + 0x100) << (segment - 1)
	}
	if code&0x80 == 0 {
		magnitude = -magnitude
	}
	return int16(magnitude)
}

func compressALaw(sample int16) byte {
	magnitude, sign := int(sample), byte(0x80)
	if magnitude < 0 {
		magnitude, sign = -magnitude-1, 0
	}
	segment := max(bits.Len(uint(magnitude))-8, 0)
	return (sign | byte(segment)<<4 | byte(magnitude>>max(segment+3, 4)&0x0f)) ^ alawEvenBits
}
