// Package cloud is a simulated Telegram: an MTProto server that an official client library accepts and that gotd's client
// talks to over TCP as it does to Telegram. Tests, the demo and the integration lab run against it.
//
// It does: key exchange with its own RSA key, obfuscated and plain transports, login by code, password (SRP) and QR,
// users with access hashes and privacy, private messages, update state with gaps and differences, the whole phone.* state
// machine with server-side timeouts, and relays (TURN with long-term credentials, reflectors) for the calls it sets up.
//
// It does not: groups, channels, media files, secret chats or several data centres (one server answers for every DC it
// accepts), it keeps nothing over a restart but authorization keys with their logins, and it never speaks to the real
// Telegram. It carries no audio itself apart from relaying; talking users live in a package of their own.
package cloud
