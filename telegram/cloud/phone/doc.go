// Package phone simulates the people of a simulated Telegram: devices that log in over MTProto, place, answer, decline
// and ignore calls, play a tone or a recording and record what they hear.
//
// It does: behave as the official apps do where a gateway can notice. A phone says that it has received a call, sends
// 60 ms of Opus a packet with packets of mere padding in between, and no RTP at all while muted.
// It does not: simulate networks, video, or web clients.
package phone
