package ari

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	ariapi "github.com/CyCoreSystems/ari/v6"

	"github.com/tgtrunk/tgtrunk/bridge"
)

// The requests in use, one method each. Field and parameter names: Asterisk's rest-api/*.json, branch 22.

func channelPath(id string, verb string) string {
	path := "/channels/" + url.PathEscape(id)
	if verb != "" {
		path += "/" + verb
	}
	return path
}

func (r *rest) info(ctx context.Context) (ariapi.AsteriskInfo, error) {
	var info ariapi.AsteriskInfo
	err := r.get(ctx, "/asterisk/info", nil, &info)
	return info, err
}

func (r *rest) channels(ctx context.Context) ([]ariapi.ChannelData, error) {
	var list []ariapi.ChannelData
	err := r.get(ctx, "/channels", nil, &list)
	return list, err
}

func (r *rest) bridges(ctx context.Context) ([]ariapi.BridgeData, error) {
	var list []ariapi.BridgeData
	err := r.get(ctx, "/bridges", nil, &list)
	return list, err
}

// inStasis reports whether a channel is inside Stasis application app.
func inStasis(c *ariapi.ChannelData, app string) bool {
	at := c.GetDialplan()
	return at.GetAppName() == "Stasis" && (at.GetAppData() == app || strings.HasPrefix(at.GetAppData(), app+","))
}

func (r *rest) subscribe(ctx context.Context, app, channel string) error {
	query := url.Values{"eventSource": {"channel:" + channel}}
	return r.post(ctx, "/applications/"+url.PathEscape(app)+"/subscription", query, nil, nil)
}

func (r *rest) originate(ctx context.Context, q ariapi.OriginateRequest) error {
	return r.post(ctx, "/channels", nil, q, nil)
}

// ring tells the caller of an unanswered channel that the far end rings; stopRing takes it back.
func (r *rest) ring(ctx context.Context, id string) error {
	return r.post(ctx, channelPath(id, "ring"), nil, nil, nil)
}

func (r *rest) stopRing(ctx context.Context, id string) error {
	return r.remove(ctx, channelPath(id, "ring"), nil)
}

func (r *rest) answer(ctx context.Context, id string) error {
	return r.post(ctx, channelPath(id, "answer"), nil, nil, nil)
}

// leave sends a channel on in the dialplan, behind Stasis().
func (r *rest) leave(ctx context.Context, id string) error {
	return r.post(ctx, channelPath(id, "continue"), nil, nil, nil)
}

// hangup ends a channel; one that is gone already is no error.
func (r *rest) hangup(ctx context.Context, id string, cause bridge.Q850) error {
	query := url.Values{"reason_code": {strconv.Itoa(int(cause))}}
	if err := r.remove(ctx, channelPath(id, ""), query); !isNotFound(err) {
		return err
	}
	return nil
}

func (r *rest) sendDigit(ctx context.Context, id string, digit byte) error {
	return r.post(ctx, channelPath(id, "dtmf"), url.Values{"dtmf": {string(rune(digit))}}, nil, nil)
}

// variable evaluates a channel variable or a dialplan function on a channel.
func (r *rest) variable(ctx context.Context, id, name string) (string, error) {
	var reply struct {
		Value string `json:"value"`
	}
	err := r.get(ctx, channelPath(id, "variable"), url.Values{"variable": {name}}, &reply)
	return reply.Value, err
}

// setVariables sets several variables: in one request where Asterisk can (22.10, 20.20), else one by one.
func (r *rest) setVariables(ctx context.Context, id string, variables map[string]string) error {
	if !r.noBulk.Load() {
		err := r.post(ctx, channelPath(id, "variables"), nil, map[string]any{"variables": variables}, nil)
		if !isUnknownVerb(err) {
			return err
		}
		r.noBulk.Store(true)
	}
	for name, value := range variables {
		query := url.Values{"variable": {name}, "value": {value}}
		if err := r.post(ctx, channelPath(id, "variable"), query, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// isUnknownVerb tells a path this Asterisk does not know ("Resource not found", "Invalid method") from a channel it
// does not know ("Channel not found").
func isUnknownVerb(err error) bool {
	return isStatus(err, http.StatusMethodNotAllowed) ||
		isNotFound(err) && !strings.Contains(strings.ToLower(err.Error()), "channel not found")
}

func (r *rest) createBridge(ctx context.Context, id, name string) error {
	return r.post(ctx, "/bridges/"+url.PathEscape(id), url.Values{"type": {"mixing"}, "name": {name}}, nil, nil)
}

// destroyBridge ends a bridge; one that is gone, or just going (409), is no error.
func (r *rest) destroyBridge(ctx context.Context, id string) error {
	err := r.remove(ctx, "/bridges/"+url.PathEscape(id), nil)
	if isNotFound(err) || isStatus(err, http.StatusConflict) {
		return nil
	}
	return err
}

// addChannel puts a channel that is in Stasis into a bridge. The connected line is left alone: without that a phone
// would get a re-INVITE with an empty identity when the nameless media channel joins it.
func (r *rest) addChannel(ctx context.Context, bridgeID, channel string) error {
	query := url.Values{"channel": {channel}, "inhibitConnectedLineUpdates": {"true"}}
	return r.post(ctx, "/bridges/"+url.PathEscape(bridgeID)+"/addChannel", query, nil, nil)
}

// externalMedia creates an RTP media channel and returns the address Asterisk receives on, as host and port.
func (r *rest) externalMedia(ctx context.Context, q ariapi.ExternalMediaOptions) (host, port string, err error) {
	var reply struct {
		Variables map[string]string `json:"channelvars"`
	}
	if err := r.post(ctx, "/channels/externalMedia", nil, q, &reply); err != nil {
		return "", "", err
	}
	host, port = reply.Variables["UNICASTRTP_LOCAL_ADDRESS"], reply.Variables["UNICASTRTP_LOCAL_PORT"]
	if host == "" || port == "" {
		return "", "", fmt.Errorf("create media channel: reply names no rtp address")
	}
	return host, port, nil
}
