// Package freeswitch holds the configuration files that FreeSWITCH needs for tgtrunk.
//
// It does: embed them, and fill in addresses and passwords.
// It does not: talk to FreeSWITCH, start it, or know tgtrunk's own configuration.
package freeswitch
