//go:build !cgo

package media

// HaveOpus says whether this build contains libopus.
const HaveOpus = false

// OpusDecoder cannot be made in a build without cgo.
type OpusDecoder struct{}

// NewOpusDecoder returns ErrNoOpus.
func NewOpusDecoder(int) (*OpusDecoder, error) { return nil, ErrNoOpus }

// Decode returns ErrNoOpus.
func (*OpusDecoder) Decode([]byte, []int16) (int, error) { return 0, ErrNoOpus }

// DecodeFEC returns ErrNoOpus.
func (*OpusDecoder) DecodeFEC([]byte, []int16) (int, error) { return 0, ErrNoOpus }

// Conceal returns ErrNoOpus.
func (*OpusDecoder) Conceal([]int16) (int, error) { return 0, ErrNoOpus }

// Reset does nothing.
func (*OpusDecoder) Reset() {}

// OpusEncoder cannot be made in a build without cgo.
type OpusEncoder struct{}

// NewOpusEncoder returns ErrNoOpus.
func NewOpusEncoder(int, Profile) (*OpusEncoder, error) { return nil, ErrNoOpus }

// Encode returns ErrNoOpus.
func (*OpusEncoder) Encode([]int16, []byte) (int, error) { return 0, ErrNoOpus }

// Profile returns Auto.
func (*OpusEncoder) Profile() Profile { return Auto }
