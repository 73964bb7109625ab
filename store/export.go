package store

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
)

// An export is magic, a salt, a nonce, and the gzipped JSON of an Export sealed by XChaCha20-Poly1305 with a key that
// Argon2id makes of a passphrase (RFC 9106, section 4, the second recommendation, at four times the passes: it runs
// once). All before the text is associated data.
const (
	exportFamily  = "tgtrunk export " // and the version, and a newline
	exportMagic   = exportFamily + "1\n"
	exportSalt    = 16
	exportHeader  = len(exportMagic) + exportSalt + chacha20poly1305.NonceSizeX
	argonPasses   = 12
	argonMemory   = 64 << 10 // kB
	argonLanes    = 4
	minPassphrase = 8
	maxExport     = 1 << 30 // bytes, unpacked
	versionShown  = 8       // bytes of a foreign version
)

// Export is one account's part of a store, on its way to another.
type Export struct {
	Account string          `json:"account"`
	Made    time.Time       `json:"made"`
	Records []ExportedValue `json:"records"`
}

// ExportedValue is one key of the account, without what all its keys begin with.
type ExportedValue struct {
	Key     string    `json:"key"`
	Value   []byte    `json:"value"`
	Expires time.Time `json:"expires,omitzero"`
}

// SaveExport writes an export, which only the passphrase opens, to a file that must not exist yet.
func SaveExport(path string, e Export, passphrase string) error {
	sealed, err := sealExport(e, passphrase)
	if err == nil {
		err = writeNew(path, sealed)
	}
	if err != nil {
		return fmt.Errorf("write export %s: %w", path, err)
	}
	return nil
}

func sealExport(e Export, passphrase string) ([]byte, error) {
	if len(passphrase) < minPassphrase {
		return nil, fmt.Errorf("passphrase is too short: use %d characters or more", minPassphrase)
	}
	var plain bytes.Buffer
	zip := gzip.NewWriter(&plain)
	if err := errors.Join(json.NewEncoder(zip).Encode(e), zip.Close()); err != nil {
		return nil, err
	}
	header := make([]byte, exportHeader, exportHeader+plain.Len()+chacha20poly1305.Overhead)
	_, _ = rand.Read(header[copy(header, exportMagic):]) // never fails
	aead, err := chacha20poly1305.NewX(passphraseKey(header, passphrase))
	if err != nil {
		return nil, err
	}
	return aead.Seal(header, header[exportHeader-chacha20poly1305.NonceSizeX:], plain.Bytes(), header), nil
}

func passphraseKey(header []byte, passphrase string) []byte {
	salt := header[len(exportMagic) : len(exportMagic)+exportSalt]
	return argon2.IDKey([]byte(passphrase), salt, argonPasses, argonMemory, argonLanes, chacha20poly1305.KeySize)
}

// OpenExport reads what SaveExport has written; ErrExport where the passphrase is wrong, the file was changed, or another
// version of tgtrunk has written it.
func OpenExport(sealed []byte, passphrase string) (Export, error) {
	return openExport(sealed, func(header []byte) []byte { return passphraseKey(header, passphrase) })
}

// openExport reads an export whose key derive makes of its header. Making it takes a moment: what is no export at all
// does not get so far.
func openExport(sealed []byte, derive func(header []byte) []byte) (Export, error) {
	version, ours := bytes.CutPrefix(sealed, []byte(exportFamily))
	switch {
	case !ours:
		return Export{}, fmt.Errorf("%w: it is no export of tgtrunk", ErrExport)
	case len(sealed) >= len(exportMagic) && string(sealed[:len(exportMagic)]) != exportMagic:
		version, _, _ = bytes.Cut(version[:min(len(version), versionShown)], []byte{'\n'})
		return Export{}, fmt.Errorf("%w: it has the version %q, this tgtrunk reads version 1", ErrExport, version)
	case len(sealed) < exportHeader+chacha20poly1305.Overhead:
		return Export{}, fmt.Errorf("%w: it is cut short, at %d bytes", ErrExport, len(sealed))
	}
	header := sealed[:exportHeader]
	aead, err := chacha20poly1305.NewX(derive(header))
	if err != nil {
		return Export{}, err
	}
	plain, err := aead.Open(nil, header[exportHeader-chacha20poly1305.NonceSizeX:], sealed[exportHeader:], header)
	if err != nil {
		return Export{}, fmt.Errorf("%w: the passphrase is wrong, or the file is damaged", ErrExport)
	}
	return parseExport(plain)
}

func parseExport(plain []byte) (Export, error) {
	zip, err := gzip.NewReader(bytes.NewReader(plain))
	if err != nil {
		return Export{}, fmt.Errorf("%w: %w", ErrExport, err)
	}
	text, err := io.ReadAll(io.LimitReader(zip, maxExport))
	if err != nil {
		return Export{}, fmt.Errorf("%w: %w", ErrExport, err)
	}
	var e Export
	if err := json.Unmarshal(text, &e); err != nil {
		return Export{}, fmt.Errorf("%w: %w", ErrExport, err)
	}
	return e, nil
}
