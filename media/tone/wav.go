package tone

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrWAV says that a file is not 16-bit mono PCM WAV, or is cut off.
var ErrWAV = errors.New("not a 16-bit mono WAV file")

const (
	wavHeader  = 44
	formatPCM  = 1
	minWAVRate = 4_000
	maxWAVRate = 192_000
	maxWAVData = 256 << 20 // bytes; more is no lab recording
)

// WriteWAV writes pcm as a 16-bit mono WAV file.
func WriteWAV(w io.Writer, rate int, pcm []int16) error {
	size := 2 * len(pcm)
	b := make([]byte, 0, wavHeader+size)
	b = append(b, "RIFF"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(wavHeader-8+size))
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)
	b = binary.LittleEndian.AppendUint16(b, formatPCM)
	b = binary.LittleEndian.AppendUint16(b, 1) // channels
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(2*rate))
	b = binary.LittleEndian.AppendUint16(b, 2)  // bytes a sample
	b = binary.LittleEndian.AppendUint16(b, 16) // bits a sample
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(size))
	for _, s := range pcm {
		b = binary.LittleEndian.AppendUint16(b, uint16(s))
	}
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("write WAV: %w", err)
	}
	return nil
}

// SaveWAV writes pcm to a new file, or over an old one.
func SaveWAV(path string, rate int, pcm []int16) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("save WAV: %w", err)
	}
	return errors.Join(WriteWAV(f, rate, pcm), f.Close())
}

// ReadWAV reads a 16-bit mono WAV file and returns its samples at rate, resampled linearly if the file has another;
// rate 0 keeps the file's. It also returns the rate of the file itself.
func ReadWAV(r io.Reader, rate int) (pcm []int16, fileRate int, err error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, 0, fmt.Errorf("read WAV header: %w: %w", ErrWAV, err)
	}
	if string(head[:4]) != "RIFF" || string(head[8:]) != "WAVE" {
		return nil, 0, fmt.Errorf("read WAV header: %w", ErrWAV)
	}
	for {
		var chunk [8]byte
		if _, err := io.ReadFull(r, chunk[:]); err != nil {
			return nil, 0, fmt.Errorf("read WAV chunk: %w: %w", ErrWAV, err)
		}
		size := int64(binary.LittleEndian.Uint32(chunk[4:]))
		switch string(chunk[:4]) {
		case "fmt ":
			if fileRate, err = readFormat(r, size); err != nil {
				return nil, 0, err
			}
		case "data":
			if fileRate == 0 {
				return nil, 0, fmt.Errorf("read WAV: %w: data before format", ErrWAV)
			}
			if pcm, err = readSamples(r, size); err != nil {
				return nil, 0, err
			}
			if rate > 0 {
				pcm = Resample(pcm, fileRate, rate)
			}
			return pcm, fileRate, nil
		default:
			if _, err := io.CopyN(io.Discard, r, size+size&1); err != nil {
				return nil, 0, fmt.Errorf("skip WAV chunk: %w: %w", ErrWAV, err)
			}
		}
	}
}

// LoadWAV is ReadWAV of a file.
func LoadWAV(path string, rate int) (pcm []int16, fileRate int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("load WAV: %w", err)
	}
	defer f.Close()
	return ReadWAV(f, rate)
}

func readFormat(r io.Reader, size int64) (rate int, err error) {
	var b [16]byte
	if size < int64(len(b)) {
		return 0, fmt.Errorf("read WAV format: %w: %d bytes", ErrWAV, size)
	}
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return 0, fmt.Errorf("read WAV format: %w: %w", ErrWAV, err)
	}
	if _, err := io.CopyN(io.Discard, r, size+size&1-int64(len(b))); err != nil {
		return 0, fmt.Errorf("read WAV format: %w: %w", ErrWAV, err)
	}
	coding, channels := binary.LittleEndian.Uint16(b[0:]), binary.LittleEndian.Uint16(b[2:])
	depth, hz := binary.LittleEndian.Uint16(b[14:]), binary.LittleEndian.Uint32(b[4:])
	if coding != formatPCM || channels != 1 || depth != 16 || hz < minWAVRate || hz > maxWAVRate {
		return 0, fmt.Errorf("read WAV format: %w: coding %d, %d channels, %d bit, %d Hz",
			ErrWAV, coding, channels, depth, hz)
	}
	return int(hz), nil
}

// readSamples reads size bytes, or to the end where a recorder that was killed left its sizes unset (0 or -1).
func readSamples(r io.Reader, size int64) ([]int16, error) {
	const unset = 1<<32 - 1
	open := size == 0 || size == unset
	if open {
		size = maxWAVData
	}
	b, err := io.ReadAll(io.LimitReader(r, min(size, maxWAVData)))
	if err != nil {
		return nil, fmt.Errorf("read WAV samples: %w", err)
	}
	if !open && int64(len(b)) < size {
		return nil, fmt.Errorf("read WAV samples: %w: %d of %d bytes", ErrWAV, len(b), size)
	}
	pcm := make([]int16, len(b)/2)
	for i := range pcm {
		pcm[i] = int16(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return pcm, nil
}

// Resample changes the rate by linear interpolation: good enough to measure a tone, not to listen to.
func Resample(pcm []int16, from, to int) []int16 {
	if from == to || from <= 0 || to <= 0 || len(pcm) == 0 {
		return pcm
	}
	out := make([]int16, len(pcm)*to/from)
	for i := range out {
		at := int64(i) * int64(from)
		j, part := int(at/int64(to)), at%int64(to)
		a := int64(pcm[j])
		b := a
		if j+1 < len(pcm) {
			b = int64(pcm[j+1])
		}
		out[i] = int16(a + (b-a)*part/int64(to))
	}
	return out
}
