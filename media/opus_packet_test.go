package media

import (
	"errors"
	"testing"
	"time"
)

func TestInspectOpus(t *testing.T) {
	us := time.Microsecond
	zeros := func(head ...byte) []byte { return append(head, make([]byte, 60)...) }
	for _, tc := range []struct {
		name    string
		payload []byte
		frames  int
		frame   time.Duration
	}{
		{"SILK 10 ms", zeros(0 << 3), 1, 10_000 * us},
		{"SILK 20 ms", zeros(1 << 3), 1, 20_000 * us},
		{"SILK 40 ms", zeros(6 << 3), 1, 40_000 * us},
		{"SILK 60 ms", zeros(11 << 3), 1, 60_000 * us},
		{"SILK 2 x 60 ms", zeros(11<<3 | 1), 2, 60_000 * us},
		{"hybrid 10 ms", zeros(12 << 3), 1, 10_000 * us},
		{"hybrid 3 x 20 ms", zeros(15<<3|3, 3), 3, 20_000 * us},
		{"CELT 2.5 ms", zeros(16 << 3), 1, 2_500 * us},
		{"CELT 5 ms stereo", zeros(17<<3 | 4), 1, 5_000 * us},
		{"CELT 20 ms", zeros(31 << 3), 1, 20_000 * us},
		{"CELT 48 x 2.5 ms", append([]byte{16<<3 | 3, 48}, make([]byte, 96)...), 48, 2_500 * us},
		{"CELT 6 x 20 ms", zeros(31<<3|3, 6), 6, 20_000 * us},
		{"code 2", zeros(31<<3|2, 10), 2, 20_000 * us},
		{"code 3, variable", []byte{31<<3 | 3, 0x80 | 3, 1, 2, 9, 9, 9, 9}, 3, 20_000 * us},
		{"code 3, padded", []byte{31<<3 | 3, 0x40 | 2, 2, 9, 9, 0, 0}, 2, 20_000 * us},
		{"a TOC alone", []byte{31 << 3}, 1, 20_000 * us},
	} {
		got, err := InspectOpus(tc.payload)
		if err != nil || got.Frames != tc.frames || got.FrameDuration != tc.frame {
			t.Errorf("%s: %+v, %v; want %d frames of %s", tc.name, got, err, tc.frames, tc.frame)
		}
		if want := time.Duration(tc.frames) * tc.frame; got.Samples(8_000) != int(want*8_000/time.Second) {
			t.Errorf("%s: %d samples at 8 kHz", tc.name, got.Samples(8_000))
		}
	}
	for name, payload := range map[string][]byte{
		"nothing":                 nil,
		"code 1, odd":             {1, 0},
		"code 2, no length":       {2},
		"code 2, half a length":   {2, 252},
		"code 2, frame too long":  {2, 3, 0},
		"code 3, no count":        {3},
		"code 3, no frames":       {3, 0},
		"code 3, over 120 ms":     append([]byte{11<<3 | 3, 3}, make([]byte, 30)...),
		"code 3, 49 frames":       append([]byte{16<<3 | 3, 49}, make([]byte, 98)...),
		"code 3, uneven":          {31<<3 | 3, 2, 0},
		"code 3, too much padded": {31<<3 | 3, 0x40 | 1, 9},
		"code 3, endless padding": {31<<3 | 3, 0x40 | 1, 255, 255},
		"code 3, frames too long": {31<<3 | 3, 0x80 | 2, 9, 0},
		"a frame over 1275":       append([]byte{0}, make([]byte, 1276)...),
	} {
		if got, err := InspectOpus(payload); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
