package embedded

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/atoship/caddy-webhooks/delivery"
)

const idPrefixText = "dlv_"

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// idCipher makes public delivery ids: one AES block over the delivery's key and six zero bytes, under a random key of
// this store's own. So an id is found without an index, tells nothing about volumes, and one that was made up decrypts to
// six zeros once in 2^48.
type idCipher struct{ block cipher.Block }

func newIDCipher(key []byte) (idCipher, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return idCipher{}, fmt.Errorf("prepare delivery ids: %w", err)
	}
	return idCipher{block}, nil
}

func (c idCipher) encode(k delivery.Key) string {
	var in, out [aes.BlockSize]byte
	var text [len(idPrefixText) + 26]byte
	binary.BigEndian.PutUint64(in[:], k.Seq)
	binary.BigEndian.PutUint16(in[8:], k.Ord)
	c.block.Encrypt(out[:], in[:])
	copy(text[:], idPrefixText)
	idEncoding.Encode(text[len(idPrefixText):], out[:])
	return string(text[:])
}

// decode answers false for everything encode did not make.
func (c idCipher) decode(id string) (k delivery.Key, ok bool) {
	text, ok := strings.CutPrefix(id, idPrefixText)
	if !ok || len(text) != 26 {
		return k, false
	}
	in, err := idEncoding.DecodeString(text)
	if err != nil || len(in) != aes.BlockSize {
		return k, false
	}
	var out [aes.BlockSize]byte
	c.block.Decrypt(out[:], in)
	k = delivery.Key{Seq: binary.BigEndian.Uint64(out[:]), Ord: binary.BigEndian.Uint16(out[8:])}
	return k, [6]byte(out[10:]) == [6]byte{} && c.encode(k) == id // one spelling: the last character has two spare bits
}
