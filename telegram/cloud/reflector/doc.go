// Package reflector is a simulated Telegram reflector: the relay of calls whose sides cannot or may not reach each
// other directly. It takes UDP and TCP on one port.
//
// It does: give out pairs of peer tags; answer hellos; learn from what comes where each side's random tags are, over
// UDP or TCP; hand a packet to the random tag of the other side that it names, with the first twelve bytes rewritten
// to that side's peer tag; forget what is silent; keep within bounds.
//
// It does not: look into what it carries, know a call or an account, or serve anybody it has given no tag to.
//
// The wire is that of the reflectors as the official engine tgcalls (24876eb, November 2025) speaks to them. A peer tag
// is 16 bytes: byte 0 is the role (0 caller, 1 callee), bytes 1 to 11 name the call, and the rest is not used.
package reflector
