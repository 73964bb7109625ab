package media

import (
	"slices"
	"testing"
)

// run is a stretch of equally spaced values, as ITU-T G.711 prints its tables.
type run struct{ first, step, n int }

func values(runs []run) []int {
	var v []int
	for _, r := range runs {
		for i := range r.n {
			v = append(v, r.first+i*r.step)
		}
	}
	return v
}

var (
	// G.711 table 2a: the quantised values of µ-law (14 bit) from silence up.
	ulawValues = values([]run{
		{0, 2, 16}, {33, 4, 16}, {99, 8, 16}, {231, 16, 16}, {495, 32, 16}, {1023, 64, 16}, {2079, 128, 16}, {4191, 256, 16},
	})
	// The same table's decision values: from here on the value of the same index.
	ulawDecisions = values([]run{
		{0, 0, 1}, {1, 2, 16}, {35, 4, 16}, {103, 8, 16}, {239, 16, 16}, {511, 32, 16}, {1055, 64, 16}, {2143, 128, 16}, {4319, 256, 15},
	})
	// G.711 table 1a: A-law (13 bit).
	alawValues = values([]run{
		{1, 2, 32}, {66, 4, 16}, {132, 8, 16}, {264, 16, 16}, {528, 32, 16}, {1056, 64, 16}, {2112, 128, 16},
	})
	alawDecisions = values([]run{
		{0, 2, 32}, {64, 4, 16}, {128, 8, 16}, {256, 16, 16}, {512, 32, 16}, {1024, 64, 16}, {2048, 128, 16},
	})
)

func TestG711DecodesTheTablesOfTheRecommendation(t *testing.T) {
	codes := make([]byte, 256)
	for i := range codes {
		codes[i] = byte(i)
	}
	ulaw, alaw := make([]int16, 256), make([]int16, 256)
	DecodeULaw(ulaw, codes)
	DecodeALaw(alaw, codes)
	for i := range 128 {
		// The code words count down from all ones in µ-law; A-law counts up and inverts the even bits.
		if got, want := ulaw[0xff-i], int16(4*ulawValues[i]); got != want {
			t.Errorf("µ-law %#02x = %d, want %d", 0xff-i, got, want)
		}
		if got, want := ulaw[0x7f-i], int16(-4*ulawValues[i]); got != want {
			t.Errorf("µ-law %#02x = %d, want %d", 0x7f-i, got, want)
		}
		if got, want := alaw[(0x80|i)^0x55], int16(8*alawValues[i]); got != want {
			t.Errorf("A-law %#02x = %d, want %d", (0x80|i)^0x55, got, want)
		}
		if got, want := alaw[i^0x55], int16(-8*alawValues[i]); got != want {
			t.Errorf("A-law %#02x = %d, want %d", i^0x55, got, want)
		}
	}
}

func TestG711EncodesByTheDecisionValues(t *testing.T) {
	level := func(decisions []int, x int) int {
		i, found := slices.BinarySearch(decisions, x)
		if !found {
			i--
		}
		return i
	}
	for s := -32768; s <= 32767; s++ {
		pcm, out := []int16{int16(s)}, make([]byte, 1)
		EncodeULaw(out, pcm)
		want := byte(0xff - level(ulawDecisions, max(s, -s)/4))
		if s < 0 {
			want &= 0x7f
		}
		if out[0] != want {
			t.Fatalf("µ-law of %d = %#02x, want %#02x", s, out[0], want)
		}
		EncodeALaw(out, pcm)
		want = byte(0x80|level(alawDecisions, s/8)) ^ 0x55
		if s < 0 {
			want = byte(level(alawDecisions, (-s-1)/8)) ^ 0x55
		}
		if out[0] != want {
			t.Fatalf("A-law of %d = %#02x, want %#02x", s, out[0], want)
		}
	}
}

func TestG711RoundTripsEveryCode(t *testing.T) {
	for i := range 256 {
		code := []byte{byte(i)}
		pcm, again := make([]int16, 1), make([]byte, 1)
		DecodeULaw(pcm, code)
		EncodeULaw(again, pcm)
		if want := code[0]; again[0] != want && !(want == 0x7f && again[0] == 0xff) { // -0 is 0
			t.Errorf("µ-law %#02x came back as %#02x", want, again[0])
		}
		DecodeALaw(pcm, code)
		EncodeALaw(again, pcm)
		if again[0] != code[0] {
			t.Errorf("A-law %#02x came back as %#02x", code[0], again[0])
		}
	}
}

func TestL16IsBigEndian(t *testing.T) {
	b := make([]byte, 4)
	EncodeL16(b, []int16{0x0102, -2})
	if want := []byte{1, 2, 0xff, 0xfe}; !slices.Equal(b, want) {
		t.Fatalf("encoded % x, want % x", b, want)
	}
	pcm := make([]int16, 2)
	DecodeL16(pcm, b)
	if pcm[0] != 0x0102 || pcm[1] != -2 {
		t.Fatalf("decoded %v", pcm)
	}
}
