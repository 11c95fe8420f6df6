package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// loadCertificate loads a certificate and its key from PEM files.
func loadCertificate(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return cert, fmt.Errorf("the certificate %s with the key %s: %w", certFile, keyFile, err)
	}
	return cert, nil
}

// loadPool loads certificate authorities from a PEM file.
func loadPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no PEM certificate that can be read", file)
	}
	return pool, nil
}
