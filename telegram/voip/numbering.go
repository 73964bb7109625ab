package voip

import "github.com/tgtrunk/tgtrunk/media"

const (
	maxStep  = 100 // steps in the numbers of what is written that are passed on
	keptBits = 128 // numbers that are remembered as used; at least maxStep
)

// numbering gives the packets of a flow their RTP sequence numbers. It follows the numbers of whoever writes, so that
// what was lost before is lost to the peer as well. No number is ever used twice: SRTP would encrypt two packets alike.
type numbering struct {
	started bool
	newest  uint16                // the highest number given
	source  uint16                // the same as whoever writes it numbered it
	used    [keptBits / 64]uint64 // bit i: newest-i
}

// next numbers a packet of audio; later says that its timestamp is after all before it. ok is false for a packet that
// was written before.
func (n *numbering) next(p *media.Packet, later bool) (number uint16, ok bool) {
	step := int(int16(p.Sequence - n.source))
	switch {
	case !n.started || p.Marker || step == 0 || step > maxStep || step < -maxStep:
		step = 1 // another source, or one that does not number
	case step < 0 && !n.taken(-step):
		n.used[-step/64] |= 1 << (-step % 64)
		return n.newest + uint16(step), true
	case step < 0 && !later:
		return 0, false
	case step < 0:
		step = 1 // another source: what it numbers alike is not the same
	}
	n.started, n.source = true, p.Sequence
	n.advance(step)
	return n.newest, true
}

// skip returns the number of a packet without audio.
func (n *numbering) skip() uint16 {
	n.advance(1)
	return n.newest
}

func (n *numbering) taken(age int) bool { return n.used[age/64]>>(age%64)&1 != 0 }

// advance moves on by 1 to maxStep numbers.
func (n *numbering) advance(step int) {
	for ; step > 0; step-- {
		n.used[1] = n.used[1]<<1 | n.used[0]>>63
		n.used[0] <<= 1
		n.newest++
	}
	n.used[0] |= 1
}
