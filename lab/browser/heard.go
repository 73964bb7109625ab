package browser

import (
	"context"
	"fmt"
	"time"

	"github.com/tgtrunk/tgtrunk/media/tone"
)

const (
	window = Rate // samples that are judged together
	pure   = 0.9  // a jitter buffer that stretches tones leaves this at least
)

// AwaitTone waits until a second of what the page has just heard is a tone of that frequency.
func (p *Page) AwaitTone(ctx context.Context, hz float64) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	from := len(p.Heard())
	best := 0.0
	for {
		heard := p.Heard()
		for ; from+window <= len(heard); from += window / 4 {
			if best = max(best, tone.Purity(heard[from:from+window], Rate, hz)); best > pure {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			last := heard[max(len(heard)-window, 0):]
			return fmt.Errorf("await %v Hz: %w; purity was %.2f at best, %d samples came, the last ones are of %v Hz, RMS %.0f",
				hz, ctx.Err(), best, len(heard), tone.Dominant(last, Rate), tone.RMS(last))
		}
	}
}
