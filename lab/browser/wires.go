package browser

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	maxEvents  = 10_000
	maxSamples = 300 * Rate
	maxBody    = 1 << 20
)

// serveOrders sends the orders as server-sent events. They go to the first who asks; a page does once.
func (p *Page) serveOrders(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	for {
		select {
		case <-r.Context().Done():
			return
		case <-p.ctx.Done():
			return
		case order := <-p.orders:
			line, err := json.Marshal(order)
			if err != nil {
				p.o.Log.Error("order cannot be printed", "error", err)
				return
			}
			if _, err := fmt.Fprintf(w, "data: %s\n\n", line); err != nil || flush.Flush() != nil {
				return
			}
		}
	}
}

// serveTold takes an event. The page sends one after the other.
func (p *Page) serveTold(w http.ResponseWriter, r *http.Request) {
	ev := Event{At: time.Now()}
	if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&ev); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if ev.Kind == "signaling" {
		packet, err := hex.DecodeString(ev.Packet)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		p.o.Send(packet)
		return
	}
	p.o.Log.Debug("page", "kind", ev.Kind, "message", string(ev.Message), "state", ev.State, "reason", ev.Reason, "route", ev.Route)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.events) < maxEvents {
		p.events = append(p.events, ev)
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// serveHeard takes samples: 16 bits, little endian.
func (p *Page) serveHeard(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; len(body) >= 2 && len(p.pcm) < maxSamples; body = body[2:] {
		p.pcm = append(p.pcm, int16(binary.LittleEndian.Uint16(body)))
	}
}
