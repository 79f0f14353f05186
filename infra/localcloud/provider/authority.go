package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// Authority is a cluster's own certificate authority, both parts in PEM.
type Authority struct{ Certificate, Key string }

// serverCertificate is what PostgreSQL shows its clients, both parts in PEM.
type serverCertificate struct{ certificate, key string }

// certificateLife is how long certificates of the local cloud are good for.
const certificateLife = 10 * 365 * 24 * time.Hour

func newAuthority(cluster string) (Authority, error) {
	template := certificate(cluster + " Project CA")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Authority{}, fmt.Errorf("make certificate authority: %w", err)
	}
	made, err := sign(template, template, key, key)
	return Authority{Certificate: made.certificate, Key: made.key}, err
}

// issue makes a server certificate for the names, which clients verify in full.
func (a Authority) issue(names ...string) (serverCertificate, error) {
	certBlock, _ := pem.Decode([]byte(a.Certificate))
	keyBlock, _ := pem.Decode([]byte(a.Key))
	if certBlock == nil || keyBlock == nil {
		return serverCertificate{}, fmt.Errorf("issue certificate: the cluster's authority is damaged")
	}
	parent, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return serverCertificate{}, fmt.Errorf("issue certificate: %w", err)
	}
	parentKey, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return serverCertificate{}, fmt.Errorf("issue certificate: %w", err)
	}
	template := certificate(names[0])
	template.DNSNames = names
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return serverCertificate{}, fmt.Errorf("issue certificate: %w", err)
	}
	return sign(template, parent, key, parentKey)
}

func certificate(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name[:min(len(name), 64)]},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certificateLife),
	}
}

func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (serverCertificate, error) {
	signed, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return serverCertificate{}, fmt.Errorf("sign certificate: %w", err)
	}
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return serverCertificate{}, fmt.Errorf("sign certificate: %w", err)
	}
	return serverCertificate{
		certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})),
		key:         string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})),
	}, nil
}
