//! Where a client is, by its address: MaxMind DB files, for a country or a city.
//!
//! Two layouts of records are read: MaxMind's own nested one, and the flat one of free files. A
//! country alone becomes the centre of where its people live (`data/countries.csv`; estimated from
//! the positions of each country's largest cities, weighted by their populations).

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use maxminddb::Reader;
use serde::Deserialize;
use sluice_types::topology::Position;
use thiserror::Error;

const COUNTRIES: &str = include_str!("../data/countries.csv");

/// Why a file is of no use.
#[derive(Debug, Error)]
pub enum GeoIpError {
    /// It cannot be opened or is no MaxMind DB.
    #[error("{path}: {source}", path = path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: maxminddb::MaxMindDbError,
    },
    /// Its records are neither of a country nor of a city.
    #[error(
        "{path}: database type `{kind}`; a country or city database is needed",
        path = path.display()
    )]
    Kind {
        /// Which.
        path: PathBuf,
        /// What its metadata says.
        kind: String,
    },
    /// It cannot be looked at.
    #[error("{path}: {source}", path = path.display())]
    Metadata {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// MaxMind's layout: GeoIP2 and GeoLite2.
#[derive(Deserialize)]
struct Nested<'a> {
    #[serde(borrow)]
    country: Option<NestedCountry<'a>>,
    location: Option<Location>,
}

#[derive(Deserialize)]
struct NestedCountry<'a> {
    iso_code: Option<&'a str>,
}

#[derive(Deserialize)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

/// The layout of free files.
#[derive(Deserialize)]
struct Flat<'a> {
    country_code: Option<&'a str>,
    latitude: Option<f64>,
    longitude: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Nested,
    Flat,
}

struct Database {
    path: PathBuf,
    modified: Option<SystemTime>,
    reader: Reader<Vec<u8>>,
    layout: Layout,
}

impl Database {
    fn open(path: &Path) -> Result<Self, GeoIpError> {
        let modified = modified(path)?;
        let reader = Reader::open_readfile(path).map_err(|source| GeoIpError::Open {
            path: path.to_owned(),
            source,
        })?;
        let kind = reader.metadata().database_type.clone();
        let lower = kind.to_ascii_lowercase();
        let known = ["country", "city", "enterprise"]
            .iter()
            .any(|word| lower.contains(word));
        // MaxMind and DB-IP name theirs so; the free files repeat their package's name.
        let nested = ["geoip2", "geolite2", "dbip-country-lite", "dbip-city-lite"]
            .iter()
            .any(|word| lower.starts_with(word));
        if !known {
            return Err(GeoIpError::Kind {
                path: path.to_owned(),
                kind,
            });
        }
        let layout = if nested { Layout::Nested } else { Layout::Flat };
        tracing::info!(path = %path.display(), kind, ?layout, "GeoIP database opened");
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        metrics::gauge!(
            "sluice_coordinator_geoip_built_timestamp_seconds", "file" => file.into_owned()
        )
        .set(reader.metadata().build_epoch as f64);
        Ok(Self {
            path: path.to_owned(),
            modified,
            reader,
            layout,
        })
    }

    /// Whether the file answers for addresses of this family: one for IPv4 alone answers wrongly for
    /// IPv6.
    fn answers(&self, address: IpAddr) -> bool {
        address.is_ipv4() || self.reader.metadata().ip_version == 6
    }

    fn find(&self, address: IpAddr, countries: &HashMap<&str, Position>) -> Option<Position> {
        let found = self.reader.lookup(address).ok()?;
        let (country, latitude, longitude) = match self.layout {
            Layout::Nested => {
                let record = found.decode::<Nested<'_>>().ok()??;
                let location = record.location;
                (
                    record.country.and_then(|country| country.iso_code),
                    location.as_ref().and_then(|at| at.latitude),
                    location.as_ref().and_then(|at| at.longitude),
                )
            }
            Layout::Flat => {
                let record = found.decode::<Flat<'_>>().ok()??;
                (record.country_code, record.latitude, record.longitude)
            }
        };
        let exact = latitude
            .zip(longitude)
            .and_then(|(latitude, longitude)| Position::new(latitude, longitude).ok());
        exact.or_else(|| countries.get(country?).copied())
    }
}

/// When a file was made, in seconds since 1970.
///
/// # Errors
/// When it cannot be opened or is no MaxMind DB.
pub fn built_s(path: &Path) -> Result<u64, GeoIpError> {
    let reader = Reader::open_readfile(path).map_err(|source| GeoIpError::Open {
        path: path.to_owned(),
        source,
    })?;
    Ok(reader.metadata().build_epoch)
}

fn modified(path: &Path) -> Result<Option<SystemTime>, GeoIpError> {
    std::fs::metadata(path)
        .map(|metadata| metadata.modified().ok())
        .map_err(|source| GeoIpError::Metadata {
            path: path.to_owned(),
            source,
        })
}

/// The open files, the first that answers for an address's family being asked. Clones share them.
#[derive(Clone)]
pub struct GeoIp {
    databases: Arc<RwLock<Vec<Database>>>,
    countries: Arc<HashMap<&'static str, Position>>,
}

impl GeoIp {
    /// Opens the files; none at all locates nobody.
    ///
    /// # Errors
    /// See [`GeoIpError`].
    pub fn open(paths: &[PathBuf]) -> Result<Self, GeoIpError> {
        let databases = paths
            .iter()
            .map(|path| Database::open(path))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            databases: Arc::new(RwLock::new(databases)),
            countries: Arc::new(countries()),
        })
    }

    /// Where an address is, as far as the files know.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Option<Position> {
        let address = address.to_canonical();
        let databases = self
            .databases
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let found = databases
            .iter()
            .filter(|database| database.answers(address))
            .find_map(|database| database.find(address, &self.countries));
        let result = if found.is_some() { "hit" } else { "miss" };
        metrics::counter!("sluice_coordinator_geoip_lookups_total", "result" => result)
            .increment(1);
        found
    }

    /// Opens files anew that have changed. A new one that is of no use leaves the old one in place.
    pub fn reload(&self) {
        let stale: Vec<_> = self
            .databases
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .enumerate()
            .filter(|(_, database)| {
                modified(&database.path).is_ok_and(|now| now != database.modified)
            })
            .map(|(place, database)| (place, database.path.clone()))
            .collect();
        for (place, path) in stale {
            match Database::open(&path) {
                Ok(fresh) => {
                    self.databases
                        .write()
                        .unwrap_or_else(PoisonError::into_inner)[place] = fresh;
                }
                Err(error) => tracing::error!(%error, "the old GeoIP database stays"),
            }
        }
    }
}

fn countries() -> HashMap<&'static str, Position> {
    COUNTRIES
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(',');
            let code = fields.next()?;
            let latitude = fields.next()?.parse().ok()?;
            let longitude = fields.next()?.parse().ok()?;
            Some((code, Position::new(latitude, longitude).ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that the set-up fetches.
    fn database() -> GeoIp {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/geoip/country.mmdb");
        GeoIp::open(&[path]).expect("run scripts/geoip first")
    }

    #[test]
    fn every_line_of_the_table_is_a_place() {
        assert_eq!(countries().len(), COUNTRIES.lines().count());
    }

    #[test]
    fn real_addresses_are_in_their_countries() {
        let geoip = database();
        let near = |address: &str, latitude: f64, longitude: f64| {
            let found = geoip
                .find(address.parse().expect("an address"))
                .expect("known");
            let there = Position::new(latitude, longitude).expect("on earth");
            assert!(found.distance_km(there) < 700.0, "{address}: {found:?}");
        };
        near("193.51.193.150", 47.2, 2.6);
        near("2001:660::1", 47.2, 2.6);
        near("133.11.0.1", 35.4, 137.2);
        near("::ffff:133.11.0.1", 35.4, 137.2);
        assert_eq!(geoip.find("127.0.0.1".parse().expect("an address")), None);
        assert_eq!(geoip.find("10.1.2.3".parse().expect("an address")), None);
    }

    #[test]
    fn what_is_no_database_is_refused_and_never_replaces_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("g.mmdb");
        let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/geoip/country.mmdb");
        std::fs::copy(real, &path).expect("run scripts/geoip first");
        let geoip = GeoIp::open(std::slice::from_ref(&path)).expect("a database");
        std::fs::write(&path, "nonsense").expect("written");
        geoip.reload();
        assert!(
            geoip
                .find("133.11.0.1".parse().expect("an address"))
                .is_some()
        );
        assert!(matches!(GeoIp::open(&[path]), Err(GeoIpError::Open { .. })));
    }
}
