#!/bin/sh
# Install a real Asterisk 22 (Debian sid's build) into a private prefix.
#
#   usage: install.sh [PREFIX]       default: ${XDG_CACHE_HOME:-~/.cache}/tgtrunk/asterisk
#
# No root, no chroot, no container. apt keeps its state inside PREFIX and checks the archive's signatures as usual;
# the packages are only unpacked, and Asterisk runs with the dynamic loader and libc that came with it, so the
# host's own libraries do not matter. Needs what every Debian has: apt-get, dpkg-deb, awk, flock and the archive key.
#
# A second run does nothing. Several runs at once are safe: one works, the others wait. The packages stay in
# PREFIX/debs, which is worth caching in CI: with it (and PREFIX/manifest) nothing is fetched again.
#
#   DEBIAN_MIRROR     archive to use; default: the Debian mirror of the host's own apt sources
#   ASTERISK_SUITE    default sid
#   LOCK_WAIT         seconds to wait for another run, default 900
set -eu

RECIPE=1 # raise when what is installed changes
PREFIX=${1:-${ASTERISK_PREFIX:-${XDG_CACHE_HOME:-$HOME/.cache}/tgtrunk/asterisk}}
SUITE=${ASTERISK_SUITE:-sid}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# Packages that only modules we never load would need: two thirds of the download.
# What this drops too much is noticed by missing_libraries and the whole closure is fetched instead.
PRUNE='perl|icu|codec2|snmp|gnupg|gpg|pinentry|dirmngr|adduser|passwd|shadow|ldap|sasl|krb5|gssapi|k5crypto'
PRUNE="$PRUNE|gnutls|nettle|hogweed|unbound|gmime|glib|neon|radcli|sybdb|freetds|odbc|libpq|lua|iksemel|jack|asound"
PRUNE="$PRUNE|portaudio|spandsp|tiff|jpeg|webp|sharpyuv|lerc|jbig|deflate|curl|ngtcp|nghttp|ssh2|brotli|idn|psl"
PRUNE="$PRUNE|unistring|p11|tasn1|amr|speex|vorbis|samplerate|resample|sensors|pci|debconf|ksba|assuan|readline"
PRUNE="$PRUNE|gdbm|db5|pam|audit|selinux|base-|coreutils|dpkg|tar\$|sed\$|grep|dash|ical|jwt|wrap0|ntlm|popt"
PRUNE="$PRUNE|libnl|keyutils|com-err|asterisk-config"

say() { echo "asterisk: $*"; }
die() { echo "asterisk: $*" >&2; exit 1; }

installed() { [ "$(cat "$PREFIX/.ok" 2>/dev/null)" = "recipe $RECIPE $SUITE" ] && [ -x "$PREFIX/bin/asterisk" ]; }

# Debian archives in the host's own apt sources, one URL a line, in the order of the files.
host_mirrors() {
	for f in /etc/apt/sources.list.d/*.sources; do
		[ -r "$f" ] || continue
		awk 'function flush() { if (on && type ~ /deb( |$)/) for (i = 1; i <= n; i++) print uri[i]; n = 0; on = 1; type = "" }
			BEGIN { on = 1 } /^[ \t]*$/ { flush(); next } /^#/ { next }
			tolower($1) == "types:" { type = $0; sub(/^[^:]*:[ \t]*/, "", type) }
			tolower($1) == "enabled:" && tolower($2) == "no" { on = 0 }
			tolower($1) == "uris:" { for (j = 2; j <= NF; j++) uri[++n] = $j }
			END { flush() }' "$f"
	done
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -r "$f" ] || continue
		awk '$1 == "deb" { sub(/\[[^]]*\]/, ""); print $2 }' "$f"
	done
}

mirrors() {
	if [ -n "${DEBIAN_MIRROR:-}" ]; then echo "$DEBIAN_MIRROR"; return; fi
	host_mirrors | grep -E '^https?://.*/debian/?$' | sed 's,/*$,,' | awk '!seen[$0]++'
}

write_apt_conf() { # $1 mirror
	: >apt/status
	echo "deb [signed-by=$KEYRING] $1 $SUITE main" >apt/sources.list
	cat >apt/apt.conf <<-CONF
		Dir::State "$PWD/apt"; Dir::State::status "$PWD/apt/status"; Dir::Cache "$PWD/apt";
		Dir::Cache::archives "$PWD/debs"; Dir::Etc::sourcelist "$PWD/apt/sources.list";
		Dir::Etc::sourceparts "$PWD/apt/empty"; Dir::Etc::preferencesparts "$PWD/apt/empty";
		Dir::Etc::preferences "$PWD/apt/none"; APT::Install-Recommends "false"; APT::Sandbox::User "";
		Acquire::Languages "none"; Acquire::Retries "2"; Acquire::http::Timeout "20"; Acquire::https::Timeout "20";
		Debug::NoLocking "true"; #clear APT::Update::Post-Invoke; #clear APT::Update::Post-Invoke-Success;
	CONF
	export APT_CONFIG="$PWD/apt/apt.conf"
}

update_index() {
	for m in $(mirrors); do
		say "fetching the package index of $SUITE from $m (about 11 MB)"
		write_apt_conf "$m"
		if apt-get -qq -o APT::Update::Error-Mode=any update >apt/log 2>&1 && apt-cache show asterisk >/dev/null 2>&1; then
			return
		fi
		sed 's/^/asterisk:   /' apt/log | tail -5
	done
	die "no Debian archive could be read: is this machine online? Set DEBIAN_MIRROR to one that can be reached"
}

# Writes manifest: one line a package file, "'URL' FILE SIZE HASH".
resolve() { # $1 regular expression of the names to leave out
	apt-get -s install asterisk asterisk-core-sounds-en-gsm 2>apt/log | awk '$1 == "Inst" { print $2 }' |
		grep -vE "$1" >apt/names || die "the closure of asterisk cannot be resolved: $(tail -3 apt/log)"
	apt-get -qq --print-uris download $(cat apt/names) >manifest.new 2>apt/log || die "no package list: $(tail -3 apt/log)"
	mv manifest.new manifest
}

fetched() { # every file of the manifest is there with its size
	[ -s manifest ] && while read -r _ file size _; do
		[ "$(stat -c %s "debs/$file" 2>/dev/null)" = "$size" ] || return 1
	done <manifest
}

fetch() {
	say "fetching $(awk '{ n++; s += $3 } END { printf "%d packages, %.0f MB", n, s / 1e6 }' manifest)"
	# apt checks the hash of each; what is already there is not fetched again.
	(cd debs && apt-get -qq download $(cat ../apt/names)) >apt/log 2>&1 || die "fetching packages: $(tail -3 apt/log)"
	fetched || die "fetching packages: some files are missing or short, try again"
	# Older versions are of no use to anybody.
	for f in debs/*.deb; do grep -qF " ${f#debs/} " manifest || rm -f "$f"; done
}

unpack() {
	say "unpacking"
	rm -rf root.new root.old
	mkdir root.new
	while read -r _ file _; do
		dpkg-deb -x "debs/$file" root.new || { rm -f "debs/$file"; die "unpacking $file: removed it, try again"; }
	done <manifest
	# Debian makes this link after unpacking, by update-alternatives.
	ln -sfn en_US_f_Allison root.new/usr/share/asterisk/sounds/en
	rm -rf root.new/usr/share/doc root.new/usr/share/man root.new/usr/share/locale root.new/usr/lib/*/gconv
	[ ! -d root ] || mv root root.old # one that runs from there goes on
	mv root.new root
	rm -rf root.old
}

# The command. Its paths are absolute: the prefix cannot be moved.
link_command() {
	libs=$(dirname "$(dirname "$(echo "$PWD"/root/usr/lib/*/asterisk/modules)")")
	loader=$(find root/usr/lib64 root/usr/lib -maxdepth 1 -name 'ld-linux-*.so.*' 2>/dev/null | head -1)
	[ -n "$loader" ] && [ -d "$libs" ] || die "the unpacked packages have no dynamic loader or no modules"
	printf '#!/bin/sh\nexec "%s" --inhibit-cache --library-path "%s" "%s" "$@"\n' \
		"$PWD/$loader" "$libs" "$PWD/root/usr/sbin/asterisk" >bin/asterisk
	chmod 755 bin/asterisk
	ln -sfn "$libs/asterisk/modules" modules
	version=$(bin/asterisk -V) || die "the unpacked Asterisk does not start: $version"
	major=$(echo "$version" | sed 's/^Asterisk \([0-9]*\).*/\1/')
	[ "$major" -ge 22 ] 2>/dev/null || die "found $version, 22 or later is needed"
}

# What the program and the modules named in MODULES_CONF, if the caller gave one, lack: one message a line.
missing_libraries() {
	{ echo "$PWD/root/usr/sbin/asterisk"; [ ! -r "${MODULES_CONF:-}" ] ||
		sed -n "s,^load *=>* *,$PWD/modules/,p" "$MODULES_CONF"; } |
		while read -r file; do
			"$PWD/$loader" --inhibit-cache --library-path "$libs" --list "$file" 2>&1 || :
		done | sed -n -e 's/.*error while loading shared libraries: //p' -e '/not found/p' | sort -u
}

installed && exit 0
for tool in apt-get apt-cache dpkg-deb awk flock find; do
	command -v $tool >/dev/null || die "$tool is not here: the private install needs Debian's apt tools (or run your own Asterisk 22)"
done
[ -r $KEYRING ] || die "$KEYRING is not here: install debian-archive-keyring"
mkdir -p "$PREFIX/apt/lists/partial" "$PREFIX/apt/empty" "$PREFIX/debs/partial" "$PREFIX/bin"
cd "$PREFIX"
PREFIX=$PWD
exec 9>lock
if ! flock -n 9; then
	say "another process is installing, waiting for it"
	flock -w "${LOCK_WAIT:-900}" 9 || die "another process has held $PREFIX/lock for too long"
	! installed || exit 0
fi
rm -f .ok

if [ "$(cat manifest.recipe 2>/dev/null)" != "recipe $RECIPE $SUITE" ] || ! fetched; then
	update_index
	resolve "$PRUNE"
	fetched || fetch
	echo "recipe $RECIPE $SUITE" >manifest.recipe
fi
unpack
link_command
lacking=$(missing_libraries)
if [ -n "$lacking" ]; then
	say "libraries are missing, fetching the whole closure: $(echo "$lacking" | sed 's/[: ].*//' | tr '\n' ' ')"
	update_index
	resolve 'nothing-is-left-out'
	fetch
	unpack
	link_command
	lacking=$(missing_libraries)
	[ -z "$lacking" ] || die "libraries are still missing: $lacking"
fi
rm -rf apt/lists apt/*.bin
echo "recipe $RECIPE $SUITE" >.ok
say "$version is ready in $PREFIX"
