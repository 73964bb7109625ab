package esl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// verbs are the API commands in use, one method each, on the connection of the moment. Names: FreeSWITCH mod_commands.
type verbs struct {
	conn *connection
	err  error // why there is no connection
}

func (v verbs) api(ctx context.Context, words ...string) (string, error) {
	if v.err != nil {
		return "", v.err
	}
	return v.conn.api(ctx, words...)
}

func (v verbs) do(ctx context.Context, words ...string) error {
	_, err := v.api(ctx, words...)
	return err
}

// kill ends a channel; one that is gone already is no error.
func (v verbs) kill(ctx context.Context, id, cause string) error {
	if err := v.do(ctx, "uuid_kill", id, cause); !isGone(err) {
		return err
	}
	return nil
}

func (v verbs) answer(ctx context.Context, id string) error { return v.do(ctx, "uuid_answer", id) }
func (v verbs) park(ctx context.Context, id string) error   { return v.do(ctx, "uuid_park", id) }

// ring lets a caller hear ringing (SIP 180).
func (v verbs) ring(ctx context.Context, id string) error {
	return v.do(ctx, "uuid_ring_ready", id)
}

func (v verbs) bridge(ctx context.Context, id, other string) error {
	return v.do(ctx, "uuid_bridge", id, other)
}

// transfer sends a channel on to "extension [dialplan [context]]".
func (v verbs) transfer(ctx context.Context, id, where string) error {
	fields := strings.Fields(where)
	if len(fields) == 0 || len(fields) > 3 || !onlyRunes(strings.Join(fields, ""), isDialChar) {
		return fmt.Errorf("transfer: %s %q: want extension, dialplan and context", varFailed, where)
	}
	return v.do(ctx, append([]string{"uuid_transfer", id}, fields...)...)
}

// receiveDigit lets a channel hear a digit from its far end.
func (v verbs) receiveDigit(ctx context.Context, id string, digit byte) error {
	return v.do(ctx, "uuid_recv_dtmf", id, string(rune(digit)))
}

// variable returns a channel variable; "" for one that is not set.
func (v verbs) variable(ctx context.Context, id, name string) (string, error) {
	value, err := v.api(ctx, "uuid_getvar", id, name)
	if value == "_undef_" {
		value = ""
	}
	return value, err
}

// setVariables sets variables of a channel to exactly these values; an empty one is unset.
func (v verbs) setVariables(ctx context.Context, id string, set map[string]string) error {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if strings.Contains(set[name], "$") {
			// The other command refuses what looks like a variable (switch_channel_set_variable_var_check).
			if err := v.do(ctx, "uuid_setvar", id, name, quote(set[name])); err != nil {
				return err
			}
			continue
		}
		pairs = append(pairs, name+"="+quote(set[name]))
	}
	for part := range slices.Chunk(pairs, maxPairs) {
		if err := v.do(ctx, "uuid_setvar_multi", id, strings.Join(part, ";")); err != nil {
			return err
		}
	}
	return nil
}

// row is one channel in FreeSWITCH's listing.
type row struct {
	ID          string `json:"uuid"`
	Name        string `json:"name"`
	State       string `json:"state"`
	Application string `json:"application"`
	CallState   string `json:"callstate"`
	Call        string `json:"call_uuid"` // of a channel that another one calls: that one's uuid
}

// parked reports whether the channel is parked, in the dialplan or after a bridge.
func (r row) parked() bool { return r.Application == "park" || r.State == "CS_PARK" }

func (v verbs) channels(ctx context.Context) ([]row, error) {
	text, err := v.api(ctx, "show", "channels", "as", "json")
	if err != nil {
		return nil, err
	}
	var listing struct {
		Rows []row `json:"rows"`
	}
	if err := json.Unmarshal([]byte(text), &listing); err != nil {
		return nil, fmt.Errorf("read the listing of channels: %w", err)
	}
	return listing.Rows, nil
}

// completedElsewhere makes mod_sofia's CANCEL to whoever rings for one of the callers say that the call was taken elsewhere.
func (v verbs) completedElsewhere(ctx context.Context, callers ...string) error {
	rows, err := v.channels(ctx)
	for _, r := range rows {
		if r.Call == "" || r.Call == r.ID || r.CallState == "ACTIVE" || !slices.Contains(callers, r.Call) {
			continue
		}
		set := v.setVariables(ctx, r.ID, map[string]string{
			varReason: completedElsewhere, "call_completed_elsewhere": "true", // both as mod_sofia does it for LOSE_RACE
		})
		if !isGone(set) {
			err = errors.Join(err, set)
		}
	}
	return err
}

// dump returns everything about a channel in the form of an event.
func (v verbs) dump(ctx context.Context, id string) (event, error) {
	text, err := v.api(ctx, "uuid_dump", id, "json")
	if err != nil {
		return event{}, err
	}
	return dumped(text)
}

// dumped reads the answer to uuid_dump.
func dumped(text string) (event, error) {
	var decoded map[string]any
	if err := json.Unmarshal([]byte(text), &decoded); err != nil {
		return event{}, fmt.Errorf("read what freeswitch says of a channel: %w", err)
	}
	header := make(map[string]string, len(decoded))
	for name, value := range decoded {
		if text, ok := value.(string); ok {
			header[name] = text
		} else {
			header[name] = flatten(value)
		}
	}
	e := newEvent(header)
	if e.id == "" {
		return event{}, errors.New("read what freeswitch says of a channel: no uuid")
	}
	return e, nil
}
