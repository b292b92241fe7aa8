//! Places on the globe.

use std::fmt;

use thiserror::Error;

/// A place on the globe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    latitude: f64,
    longitude: f64,
}

/// Coordinates that are nowhere on the globe.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error("{latitude}, {longitude} is nowhere: latitude is -90 to 90, longitude -180 to 180 degrees")]
pub struct InvalidPosition {
    /// The latitude asked for, in degrees.
    pub latitude: f64,
    /// The longitude asked for, in degrees.
    pub longitude: f64,
}

impl Position {
    /// The place at these degrees: latitude -90 to 90 (north is positive), longitude -180 to 180
    /// (east is positive).
    ///
    /// # Errors
    /// When either is outside its range or not a number.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, InvalidPosition> {
        if (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) {
            Ok(Self {
                latitude,
                longitude,
            })
        } else {
            Err(InvalidPosition {
                latitude,
                longitude,
            })
        }
    }

    /// Degrees north of the equator, -90 to 90.
    #[must_use]
    pub const fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east of Greenwich, -180 to 180.
    #[must_use]
    pub const fn longitude(self) -> f64 {
        self.longitude
    }

    /// The great-circle distance to the other place in kilometres, 0 to about 20,015.
    #[must_use]
    pub fn distance_km(self, other: Self) -> f64 {
        let (lat_a, lat_b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_lat = ((lat_b - lat_a) / 2.0).sin();
        let half_lon = ((other.longitude - self.longitude).to_radians() / 2.0).sin();
        let haversine = half_lat * half_lat + lat_a.cos() * lat_b.cos() * half_lon * half_lon;
        // Rounding can push antipodes a hair over 1, whose arc sine does not exist.
        2.0 * EARTH_RADIUS_KM * haversine.clamp(0.0, 1.0).sqrt().asin()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let north = if self.latitude < 0.0 { 'S' } else { 'N' };
        let east = if self.longitude < 0.0 { 'W' } else { 'E' };
        write!(
            f,
            "{:.2}°{north} {:.2}°{east}",
            self.latitude.abs(),
            self.longitude.abs()
        )
    }
}

/// The mean radius of the earth (IUGG).
const EARTH_RADIUS_KM: f64 = 6_371.008_8;
