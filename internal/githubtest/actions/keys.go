package actions

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what the client decrypts with
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"hash"
	"math/big"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// claims are those of the service's own tokens.
type claims struct {
	Kind   string `json:"kind"` // manage, agent, job
	Client string `json:"client,omitempty"`
	Scope  string `json:"scope,omitempty"`
	Job    int64  `json:"job,omitempty"`
	Scp    string `json:"scp,omitempty"` // the worker looks for its results service here
	Orch   string `json:"orchid,omitempty"`
	jwt.RegisteredClaims
}

func (s *Service) sign(w World, c claims, life time.Duration) string {
	now := w.Now()
	c.IssuedAt, c.NotBefore, c.ExpiresAt = jwt.NewNumericDate(now), jwt.NewNumericDate(now.Add(-time.Minute)), jwt.NewNumericDate(now.Add(life))
	text, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(s.secret)
	return text
}

// verify reads a token of the service's own.
func (s *Service) verify(w World, text string) (claims, bool) {
	var c claims
	_, err := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(w.Now)).
		ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return s.secret, nil })
	return c, err == nil
}

// seal signs what a URL names, for one that can be used without a token.
func (s *Service) seal(text string) string {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil)[:12])
}

var errAssertion = errors.New("the client assertion is not good")

// asserted checks what a listener asks for a token with: a JWT of its client id,
// signed by the key that it registered, for this address, good for minutes.
func asserted(w World, text, audience string, find func(client string) (*rsa.PublicKey, bool)) (client string, err error) {
	var c jwt.RegisteredClaims
	var known bool
	_, err = jwt.NewParser(jwt.WithValidMethods([]string{"PS256", "RS256"}), jwt.WithTimeFunc(w.Now), jwt.WithLeeway(time.Minute), jwt.WithExpirationRequired(), jwt.WithAudience(audience)).
		ParseWithClaims(text, &c, func(*jwt.Token) (any, error) {
			client = c.Issuer
			key, found := find(client)
			if known = found; !found || key == nil {
				return nil, ErrNotFound
			}
			return key, nil
		})
	switch {
	case client != "" && !known:
		return client, ErrNotFound
	case err != nil || c.Subject != client || c.ExpiresAt.Sub(w.Now()) > 15*time.Minute:
		return client, errAssertion
	}
	return client, nil
}

// publicKey makes a key of its two numbers in base64.
func publicKey(modulus, exponent string) (*rsa.PublicKey, error) {
	n, err := base64.StdEncoding.DecodeString(modulus)
	if err != nil {
		return nil, err
	}
	e, err := base64.StdEncoding.DecodeString(exponent)
	if err != nil {
		return nil, err
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	if key.N.BitLen() < 1024 || key.E < 3 {
		return nil, errors.New("no RSA key")
	}
	return key, nil
}

// publicKeyXML reads the key as the v2 registration has it.
func publicKeyXML(text string) (*rsa.PublicKey, error) {
	var key struct {
		XMLName           xml.Name `xml:"RSAKeyValue"`
		Modulus, Exponent string
	}
	if err := xml.Unmarshal([]byte(text), &key); err != nil {
		return nil, err
	}
	return publicKey(key.Modulus, key.Exponent)
}

// PrivateKey is a key as .credentials_rsaparams of a JIT configuration has it.
func PrivateKey(key *rsa.PrivateKey) []byte {
	key.Precompute()
	size := (key.N.BitLen() + 7) / 8
	number := func(n *big.Int, length int) string {
		return base64.StdEncoding.EncodeToString(n.FillBytes(make([]byte, length)))
	}
	p, q := key.Primes[0], key.Primes[1]
	text, _ := json.Marshal(map[string]string{
		"d": number(key.D, size), "dp": number(key.Precomputed.Dp, size/2), "dq": number(key.Precomputed.Dq, size/2),
		"exponent": base64.StdEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
		"inverseQ": number(key.Precomputed.Qinv, size/2), "modulus": number(key.N, size), "p": number(p, size/2), "q": number(q, size/2),
	})
	return text
}

// sessionKey is the AES key of a session.
func (s *Service) sessionKey(session string) []byte {
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte("session " + session))
	return mac.Sum(nil)
}

// wrap encrypts a session's key for its listener.
func (s *Service) wrap(session string, key *rsa.PublicKey, fips bool) string {
	var h hash.Hash = sha1.New() //nolint:gosec // so does the service without FIPS
	if fips {
		h = sha256.New()
	}
	text, _ := rsa.EncryptOAEP(h, rand.Reader, key, s.sessionKey(session), nil)
	return base64.StdEncoding.EncodeToString(text)
}

// encrypt is a message's body, in AES-CBC with PKCS #7.
func (s *Service) encrypt(session, body string) (iv, text string) {
	block, _ := aes.NewCipher(s.sessionKey(session))
	start := make([]byte, block.BlockSize())
	_, _ = rand.Read(start)
	data := []byte(body)
	for n, i := block.BlockSize()-len(data)%block.BlockSize(), 0; i < n; i++ {
		data = append(data, byte(n)) //nolint:gosec // at most 16
	}
	cipher.NewCBCEncrypter(block, start).CryptBlocks(data, data)
	return base64.StdEncoding.EncodeToString(start), base64.StdEncoding.EncodeToString(data)
}
