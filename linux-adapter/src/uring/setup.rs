//! From a configuration to a driver: each feature that the kernel refuses is left
//! out, with the reason.

use std::sync::Arc;

use rustix::io_uring::IoringSetupFlags;

use super::{
    arena::Arena,
    config::{Config, Degraded, Feature, SetupError},
    driver::Driver,
    kernel::Real,
    offer::{self, Wanted},
};

/// A driver as near to `config` as this machine allows, and what it lacks.
pub(crate) fn driver(
    config: &Config,
    arena: Arc<Arena>,
) -> Result<(Driver<Real>, Vec<Degraded>), SetupError> {
    let depth = config.depth()?;
    let mut lacks = Vec::new();
    let Config { sqpoll, single_issuer, .. } = *config;
    let entries = u32::from(depth);
    let mut wanted = Wanted { entries, flags: IoringSetupFlags::empty(), sqpoll, single_issuer };
    if let Some(probe) = &config.iopoll {
        match offer::polls(probe) {
            Ok(()) => wanted.flags |= IoringSetupFlags::IOPOLL,
            Err(errno) => lacks.push(Degraded { feature: Feature::IoPoll, errno }),
        }
    }
    let (kernel, missing) = offer::ring(&wanted).map_err(SetupError::Ring)?;
    lacks.extend(missing);
    offer::transfers(&kernel).map_err(SetupError::Ring)?;
    lacks.extend(offer::opens(&kernel).err());
    let mut driver =
        Driver::new(kernel, depth, arena, config.close_within).map_err(SetupError::Buffers)?;
    if config.registered_buffers.unwrap_or(true)
        && let Err(errno) = driver.register_buffers()
    {
        lacks.push(Degraded { feature: Feature::RegisteredBuffers, errno });
    }
    if config.registered_files > 0
        && let Err(errno) = driver.register_files(config.registered_files)
    {
        lacks.push(Degraded { feature: Feature::RegisteredFiles, errno });
    }
    Ok((driver, lacks))
}
